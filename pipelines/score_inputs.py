"""Predictions that can be scored: a folder of images or .npy maps named by frame id, one .npy stack, or one zarr array.

Nothing here trusts a file: images go through the decoder of :mod:`synth.corpora.decode`, .npy is read without pickles, and a
zarr array must pass the allow-list of :mod:`synth.store.metadata` before a chunk is decoded, its checksum verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.score_zarr import ZarrStack, is_zarr_array
from synth.corpora.catalog import check_inside, strip_suffix
from synth.corpora.decode import MAX_FILE_BYTES, decode_levels, read_bytes
from synth.corpora.layouts import IMAGE_SUFFIXES, is_skipped, shorten
from synth.corpora.lists import read_list
from synth.errors import RefusalError, SourceError

_MASK_SUFFIX = "_pixels0"
_NPY = ".npy"
Map = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Maps by frame id.

    Attributes:
        about: What they are, for the reader.
        num_bytes: Bytes of their files.
        notes: What a reader must know beside the scores.
        read: Id -> its map, bool or floating (H, W).
        ids: Ids there are.
    """

    about: str
    num_bytes: int
    notes: tuple[str, ...]
    read: Callable[[str], Map]
    ids: tuple[str, ...]


class LevelScale:
    """Integer levels -> probabilities, and the highest level met.

    Args:
        highest: Level that stands for 1.0, or None for the highest of the dtype (255 or 65535).
    """

    def __init__(self, highest: int | None) -> None:
        self._highest = highest
        self.top_seen = -1
        self.top_of_dtype = 0

    def __call__(self, levels: Map, what: str) -> Map:
        """Return float64 (H, W) for integer levels (k/255 in doubles equals k'/20 where it should); others unchanged.

        Raises:
            SourceError: A level lies above the highest one.
        """
        if levels.dtype.kind != "u" or levels.dtype.itemsize > 2:
            return levels
        self.top_of_dtype = self._highest or int(np.iinfo(levels.dtype).max)
        top = int(levels.max(initial=0))
        if top > self.top_of_dtype:
            raise SourceError(f"{what}: holds level {top}, above --prediction-max {self.top_of_dtype}; raise it")
        self.top_seen = max(self.top_seen, top)
        return levels / float(self.top_of_dtype)

    def check(self) -> None:
        """Refuse 0/1 masks read as levels of 255: every score would be silently zero.

        Raises:
            SourceError: No level above 1 was met in any frame.
        """
        if self.top_seen == 1 and self.top_of_dtype > 1:
            raise SourceError(
                f"predictions: their highest level is 1 of {self.top_of_dtype}; pass --prediction-max 1 if they are 0/1 masks"
            )


def open_predictions(
    path: Path, expected: Sequence[str], scale: LevelScale, *, ids_file: Path | None = None, suffix: str = ""
) -> Predictions:
    """Find predictions; nothing is decoded yet.

    Args:
        path: Folder of files, .npy stack, or zarr array.
        expected: Ids to be scored, sorted.
        scale: Turns integer levels into probabilities.
        ids_file: Ids of a stack, one a line, in its order; default the sorted ids, if it has as many frames.
        suffix: What file names carry after the id, such as ``_pred``.

    Raises:
        SourceError: They cannot be used, or some frame has none; the message says which and what to do.
    """
    if not path.exists():
        raise SourceError(f"predictions {path}: do not exist; give a folder of maps, a .npy stack or a zarr array")
    if path.is_dir() and is_zarr_array(path):
        predictions = _stack(path, ZarrStack(path), expected, scale, ids_file)
    elif path.is_dir():
        if ids_file is not None:
            raise SourceError(f"--ids {ids_file}: is for stacks; the files of {path} carry their ids as names")
        predictions = _folder(path, scale, suffix)
    elif path.suffix == _NPY:
        predictions = _stack(path, _NpyStack(path), expected, scale, ids_file)
    else:
        raise SourceError(f"predictions {path}: must be a folder of maps, a .npy stack or a zarr array")
    _check_complete(path, expected, predictions.ids)
    return predictions


def _check_complete(path: Path, expected: Sequence[str], ids: Sequence[str]) -> None:
    missing = sorted({*expected} - {*ids})
    if missing:
        raise SourceError(
            f"predictions {path}: {len(missing)} of {len(expected)} frames have none ({shorten(missing)}); predict every"
            " frame, an empty map where nothing is found"
        )


def _folder(path: Path, scale: LevelScale, suffix: str) -> Predictions:
    root = path.resolve()
    files = _files_by_id(root, suffix)
    kinds = sorted({file.suffix.lower() for file in files.values()})
    notes = ("maps are JPEG files: their edges are not what the detector gave",) if {".jpg", ".jpeg"} & {*kinds} else ()

    def read(frame_id: str) -> Map:
        file = files[frame_id]
        what = f"prediction {file}"
        return scale(_load_npy(file) if file.suffix.lower() == _NPY else decode_levels(read_bytes(file), file), what)

    num_bytes = sum(file.stat().st_size for file in files.values())
    return Predictions(f"{path} ({len(files)} files, {', '.join(kinds)})", num_bytes, notes, read, tuple(sorted(files)))


def _files_by_id(root: Path, suffix: str) -> Mapping[str, Path]:
    files: dict[str, Path] = {}
    names: dict[str, Path] = {}
    for file in sorted(root.iterdir()):
        if is_skipped(file.name) or not file.is_file() or file.suffix.lower() not in (*IMAGE_SUFFIXES, _NPY):
            continue
        check_inside(root, file)
        stem = file.stem if file.suffix.lower() == _NPY else strip_suffix(file.name)
        name = stem.removesuffix(suffix).removesuffix(_MASK_SUFFIX)
        if (first := names.setdefault(name.lower(), file)) is not file:
            raise SourceError(f"predictions {root}: {first.name} and {file.name} are of one frame, {name!r}; remove one of them")
        files[name] = file
    if not files:
        kinds = ", ".join((*IMAGE_SUFFIXES, _NPY))
        raise SourceError(
            f"predictions {root}: no map in this folder (sub-folders are not read); put files ending in {kinds} there"
        )
    return files


def _stack(
    path: Path, stack: ZarrStack | _NpyStack, expected: Sequence[str], scale: LevelScale, ids_file: Path | None
) -> Predictions:
    notes: tuple[str, ...] = ()
    if ids_file is not None:
        ids = read_list(ids_file, root=ids_file.parent.resolve())
    else:
        ids = tuple(expected)
        notes = ("the stack names no ids: its frames were taken in sorted id order (--ids FILE says otherwise)",)
    if len(ids) != len(stack):
        told = f"{ids_file} names {len(ids)} ids" if ids_file else f"{len(ids)} frames are to be scored, and no --ids was given"
        raise SourceError(f"predictions {path}: the stack holds {len(stack)} frames, but {told}; name the ids in stack order")
    index = {frame_id: number for number, frame_id in enumerate(ids)}

    def read(frame_id: str) -> Map:
        return scale(stack[index[frame_id]], f"prediction of {frame_id} in {path}")

    return Predictions(f"{path} ({stack.about})", stack.num_bytes, notes, read, ids)


class _NpyStack:
    """Frames of one .npy file, (N, H, W) or (N, 1, H, W), mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._array = _load_npy(path, mapped=True)
        if self._array.ndim not in (3, 4) or (self._array.ndim == 4 and self._array.shape[1] != 1):
            raise SourceError(f"predictions {path}: must be frames x rows x columns, got shape {self._array.shape}")
        self.about = f"stack of {len(self)} {self._array.dtype} maps"
        self.num_bytes = path.stat().st_size

    def __len__(self) -> int:
        return int(self._array.shape[0])

    def __getitem__(self, index: int) -> Map:
        frame = self._array[index]
        return np.array(frame if frame.ndim == 2 else frame[0])


def _load_npy(path: Path, *, mapped: bool = False) -> Map:
    if not mapped and path.stat().st_size > MAX_FILE_BYTES:
        raise SourceError(f"prediction {path}: is larger than {MAX_FILE_BYTES} bytes; save one map a file")
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except (ValueError, EOFError, OSError) as error:
        why = "it holds pickled objects, which are never read" if "pickle" in str(error) else "it is damaged or no .npy file"
        raise SourceError(f"prediction {path}: cannot be read, {why}; save it with numpy.save as a plain array") from error
    if not isinstance(array, np.ndarray):
        raise RefusalError(f"prediction {path}: is an archive of arrays; save one array with numpy.save")
    return array
