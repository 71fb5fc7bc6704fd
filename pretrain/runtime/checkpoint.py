"""States that survive a crash: written whole or not at all, recorded with their hash, read without executing anything.

    checkpoints/step-000000120.pt      torch.save of plain containers and tensors, read with weights_only=True
    checkpoints/step-000000120.json    its record: step, bytes, sha256; written last
    checkpoints/best.pt, best.json     model and averages of the best validation

A state counts when its record does and its bytes hash to what the record says; otherwise the one before it is taken.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from synth.errors import FoundryError, RefusalError
from synth.store.files import read_json, write_durably, write_json

_LOG = logging.getLogger(__name__)

KEPT_STATES = 2
FORMAT = 1


class Checkpoints:
    """The saved states of one run.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Save a state to resume from, and drop all but the last two.

        Args:
            step: Steps done.
            state: Plain containers, numbers, text and tensors.

        Raises:
            StoreError: It cannot be written.
        """
        self._write(f"step-{step:09d}", step, state)
        for name in self._steps()[KEPT_STATES:]:
            (self.folder / f"{name}.json").unlink(missing_ok=True)  # the record first: a state without one does not count
            (self.folder / f"{name}.pt").unlink(missing_ok=True)

    def save_best(self, step: int, state: Mapping[str, Any]) -> None:
        """Save the state with the best validation so far."""
        self._write("best", step, state)

    def newest(self) -> dict[str, Any] | None:
        """Return the newest state that is whole, or None; damaged ones are named in a warning."""
        for name in self._steps():
            try:
                return self.load(name)
            except FoundryError as error:
                _LOG.warning("%s; falling back to the state before it", error)
        return None

    def load(self, name: str) -> dict[str, Any]:
        """Return one state, on the CPU.

        Args:
            name: Name without suffix: ``best`` or ``step-...``.

        Raises:
            RefusalError: It is damaged, or no state of ours.
            StoreError: It is missing or unreadable.
        """
        path, record = self.folder / f"{name}.pt", read_json(self.folder / f"{name}.json")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RefusalError(f"{path}: {error.strerror}; restore it from a copy") from error
        if not isinstance(record, dict) or hashlib.sha256(data).hexdigest() != record.get("sha256"):
            raise RefusalError(f"{path}: does not hash to what its record says ({len(data)} bytes); it is damaged")
        try:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise RefusalError(f"{path}: is no saved state ({type(error).__name__}); it is damaged") from error
        if not isinstance(state, dict) or state.get("format") != FORMAT or state.get("step") != record.get("step"):
            raise RefusalError(f"{path}: is no saved state of format {FORMAT}; update sirst-foundry or restore it from a copy")
        return state

    def has_best(self) -> bool:
        """Tell whether a best state was saved."""
        return (self.folder / "best.json").exists()

    def _write(self, name: str, step: int, state: Mapping[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "step": step} | dict(state), buffer)
        data = buffer.getvalue()
        sha256 = write_durably(self.folder / f"{name}.pt", [data])
        write_json(self.folder / f"{name}.json", {"step": step, "bytes": len(data), "sha256": sha256})

    def _steps(self) -> list[str]:
        """Names of the recorded states, newest first."""
        return sorted((path.stem for path in self.folder.glob("step-*.json")), reverse=True)
