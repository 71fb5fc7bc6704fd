"""Write the frames of a store in another form.

    python -m pipelines.export STORE --format folder --out DIR --lists train=256,val=48,test=96

folder: DIR/images and DIR/masks in PNG (no masks from a store without labels), padding cut away, and split lists of consecutive
frames, in the layout that every command reads. Frames keep their levels; the name of a frame is its index. DIR appears as a
whole; the same command on a finished DIR checks it and does nothing. Lists are refused that share a source frame, a plate or a
sequence: of a store of copies, or of scenes on few plates, make one store for each list, from frames of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.command import EXIT_OK, Parser, StopRequest, run_command, stop_on_signal
from pipelines.export_lists import lists_of
from pipelines.progress import progress_bar
from synth.errors import RefusalError
from synth.store.files import read_json, write_json
from synth.store.reader import Store, open_store

RECORD_NAME = "export.json"
FORMATS = ("folder",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="export", description=__doc__ or "")
    parser.add_argument("store", type=Path, metavar="STORE", help="a finished store (X.zarr)")
    parser.add_argument("--format", choices=FORMATS, required=True, help="what to write")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--lists", metavar="NAME=N,...", default="", help="frames of each split list, in this order")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; print what would be written")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    out: Path = arguments.out
    store = open_store(arguments.store)
    lists = lists_of(arguments.lists, store)
    is_labelled = _is_labelled(store)
    about = {
        "format": 1,
        "kind": arguments.format,
        "store": store.manifest["content_hash"],
        "frames": len(store),
        "lists": {name: [ids.start, ids.stop] for name, ids in lists.items()},
    }
    listed = ", ".join(f"{name} {len(ids)}" for name, ids in lists.items()) or "no lists"
    print(f"{store.path}: {len(store)} frames {'with' if is_labelled else 'without'} masks; {listed}")
    if _is_finished(out, about):
        print(f"{out}: is finished")
        return EXIT_OK
    if arguments.dry_run:
        size = sum(len(data) for _, data in _frame_files(store, 0, is_labelled)) * len(store)
        print(f"about {size / 1e6:.1f} MB in {out}; nothing written (--dry-run)")
        return EXIT_OK
    with stop_on_signal() as stop, _appearing(out) as folder:
        hashes = _write(store, folder, lists, is_labelled, stop)
        if stop():
            return stop.exit_code
        write_json(folder / RECORD_NAME, about | {"files": hashes})
        folder.replace(out)
    print(f"wrote {out}")
    return EXIT_OK


def _is_labelled(store: Store) -> bool:
    labelled = store.column("sample/labelled").astype(bool)
    if labelled.any() and not labelled.all():
        raise RefusalError(
            f"{store.path}: must be labelled as a whole or not at all, got {labelled.sum()} of {len(store)} frames"
        )
    return bool(labelled.all())


def _is_finished(out: Path, about: Mapping[str, Any]) -> bool:
    """Tell whether a folder holds just this; refuse every other one that holds anything."""
    if not out.is_dir():
        if out.exists():
            raise RefusalError(f"--out {out}: is a file; name a folder")
        return False
    if not any(out.iterdir()):
        return False
    if not (out / RECORD_NAME).is_file():
        raise RefusalError(f"--out {out}: holds other files than an export; name an empty or new folder")
    found = read_json(out / RECORD_NAME)
    if any(found.get(key) != value for key, value in about.items()):
        raise RefusalError(f"--out {out}: holds an export of another store or with other lists; name a new folder, or remove it")
    if changed := [name for name, sha256 in found["files"].items() if _sha256(out / name) != sha256]:
        raise RefusalError(f"--out {out}: {len(changed)} files were changed or are missing ({changed[0]}); remove the folder")
    return True


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Give a new folder beside ``out``, which is to be renamed to it, and remove what is left of it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        folder = temporary / out.name
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(store: Store, folder: Path, lists: Mapping[str, range], is_labelled: bool, stop: StopRequest) -> dict[str, str]:
    """Write everything but the record; return path -> sha256."""
    hashes = {}
    for name in ("images", "masks")[: 1 + is_labelled]:
        (folder / name).mkdir()

    def write(name: str, data: bytes) -> None:
        (folder / name).write_bytes(data)
        hashes[name] = hashlib.sha256(data).hexdigest()

    for name, ids in lists.items():
        write(f"{name}.txt", "".join(f"{_id(index)}\n" for index in ids).encode())
    with progress_bar("export", len(store), "frame") as advance:
        for index in range(len(store)):
            if stop():
                break
            for name, data in _frame_files(store, index, is_labelled):
                write(name, data)
            advance(1)
    return hashes


def _frame_files(store: Store, index: int, is_labelled: bool) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the files of a frame."""
    rows, cols = store.column("sample/valid_hw")[index].tolist()
    yield f"images/{_id(index)}.png", _png(store.images([index])[0, :rows, :cols])
    if is_labelled:
        yield f"masks/{_id(index)}.png", _png(store.masks([index])[0, :rows, :cols] * np.uint8(255))


def _id(index: int) -> str:
    return f"{index:06d}"


def _png(levels: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(levels)).save(buffer, format="png")
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
