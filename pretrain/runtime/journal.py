"""``metrics.jsonl``: one JSON object a line, appended while a run goes on, cut back when it resumes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synth.store.files import write_durably


class Journal:
    """The journal of one run.

    Args:
        path: Its file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def cut(self, step: int) -> None:
        """Drop what stands behind a step: lines of steps that a resumed run does again, and a line torn by a crash.

        Args:
            step: Steps done by the state that is resumed.
        """
        if not self._path.exists():
            return
        kept = [line for line in self.lines() if line["step"] <= step]
        write_durably(self._path, [_encode(line) for line in kept])

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line.

        Args:
            line: JSON values, ``step`` (steps done) among them.
        """
        with self._path.open("ab") as file:
            file.write(_encode(line))

    def lines(self) -> list[dict[str, Any]]:
        """Return all whole lines."""
        if not self._path.exists():
            return []
        return [line for text in self._path.read_bytes().split(b"\n") if (line := _decode(text)) is not None]


def _encode(line: Mapping[str, Any]) -> bytes:
    """JSON has no word for what is not finite: null stands for it."""
    plain = {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in line.items()}
    return json.dumps(plain, allow_nan=False).encode() + b"\n"


def _decode(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None
