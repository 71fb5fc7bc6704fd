"""One zarr array of maps, (N, H, W): the allow-list first, then whole chunks, checksums verified. Nothing is executed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.errors import RefusalError, SourceError, StoreError
from synth.store.codec import MISSING_CHUNK, DamagedChunkError, decode_chunk, index_bytes, parse_index
from synth.store.files import path_below, read_json
from synth.store.metadata import MAX_METADATA_BYTES, read_array_metadata

_ABSENT = (
    "a missing chunk is never read as zeros; write the array again, with config={'write_empty_chunks': True},"
    " because zarr leaves frames of zeros out"
)
_ALLOWED = "zarr format 3, bytes + zstd (uint16: blosc) + crc32c, whole frames in every chunk"


def is_zarr_array(path: Path) -> bool:
    """Tell whether a folder is a zarr array or group; a group is refused with advice by :class:`ZarrStack`."""
    return (path / "zarr.json").is_file()


class ZarrStack:
    """Frames of one zarr array.

    Args:
        path: Folder of the array, for instance ``X.zarr/probability``.

    Raises:
        RefusalError: It is a group, or its metadata is not on the allow-list.
        SourceError: It is no stack of maps.
    """

    def __init__(self, path: Path) -> None:
        path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the links that are refused below
        if (path / "zarr.json").stat().st_size > MAX_METADATA_BYTES:
            raise RefusalError(f"{path / 'zarr.json'}: larger than {MAX_METADATA_BYTES} bytes; this is no array of maps")
        if read_json(path / "zarr.json").get("node_type") == "group":
            arrays = ", ".join(sorted(child.parent.name for child in path.glob("*/zarr.json"))) or "nothing"
            raise RefusalError(f"predictions {path}: is a zarr group holding {arrays}; give one array, PATH/NAME")
        self._root = path.parent
        try:
            self._spec = read_array_metadata(self._root, path.name)
        except RefusalError as error:
            raise RefusalError(f"{error}; allowed: {_ALLOWED}") from error
        if len(self._spec.shape) != 3 or 0 in self._spec.shape:
            raise SourceError(f"predictions {path}: must be frames x rows x columns, got shape {self._spec.shape}")
        self.about = f"zarr array of {len(self)} {np.dtype(self._spec.dtype)} maps"
        self.num_bytes = sum(file.stat().st_size for file in (path / "c").rglob("*") if file.is_file())
        self._chunk: tuple[int, npt.NDArray[Any]] = (-1, np.empty(0))

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._spec.shape[0]

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        """Return one map, (H, W).

        Raises:
            StoreError: Its file is missing.
            DamagedChunkError: A checksum is wrong.
        """
        per_chunk = self._spec.chunk[0]
        number, inside = divmod(index, per_chunk)
        if self._chunk[0] != number:
            self._chunk = (number, self._read(number))
        frame: npt.NDArray[Any] = self._chunk[1][inside]
        return frame

    def _read(self, number: int) -> npt.NDArray[Any]:
        """Return one chunk."""
        spec = self._spec
        per_file = (spec.shard or spec.chunk)[0] // spec.chunk[0]
        path = path_below(self._root, spec.file_of(number // per_file))
        out = np.empty(spec.chunk, np.dtype(spec.dtype).newbyteorder("="))
        try:
            data = path.read_bytes() if spec.shard is None else _chunk_of_shard(path, number % per_file, per_file)
            decode_chunk(data, out)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; {_ABSENT}") from error
        except DamagedChunkError as error:
            raise DamagedChunkError(f"{path}: {error}; write the array again") from error
        return out


def _chunk_of_shard(path: Path, chunk: int, num_chunks: int) -> bytes:
    tail = index_bytes(num_chunks)
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < tail:
            raise DamagedChunkError("is shorter than the index of a shard")
        file.seek(size - tail)
        offset, length = parse_index(file.read(tail), size)[chunk].tolist()
        if offset >= MISSING_CHUNK:
            raise StoreError(f"{path}: the shard holds no chunk {chunk}; {_ABSENT}")
        file.seek(offset)
        return file.read(length)
