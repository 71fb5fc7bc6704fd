"""One rule for every command with a folder of its own: what someone else keeps there is not written over."""

from __future__ import annotations

from pathlib import Path

from synth.errors import RefusalError
from synth.store.files import is_vacant


def refuse_other_files(out: Path, first_name: str, kind: str) -> None:
    """Refuse a folder that holds something else than earlier output of the same command, before any work.

    Args:
        out: The folder asked for; need not exist.
        first_name: A file that is there as soon as the command has begun to write.
        kind: What the command makes, with its article, for the message.

    Raises:
        RefusalError: It holds other files, or it is a file.
    """
    if out.exists() and not out.is_dir():
        raise RefusalError(f"--out {out}: is a file; name a folder")
    if out.is_dir() and not is_vacant(out) and not (out / first_name).is_file():
        raise RefusalError(f"--out {out}: holds other files than {kind}; name an empty or new folder")
