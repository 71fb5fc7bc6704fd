"""The noise bank: accepted windows with where they came from, bounded by a reservoir that no order can change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.noise.windows import Windows
from synth.rng import Stream, keyed_hash

BANK_DTYPES = {
    "patch": "|u1",
    "source": "<i4",
    "frame": "<i4",
    "row": "<i4",
    "col": "<i4",
    "mean": "<f8",
    "variance": "<f8",
}
"""Array name -> dtype of the bank in a store (group ``noise``)."""

MAX_PATCH_BYTES = 2**28
"""Most bytes of all patches: a store keeps them in one chunk, and larger ones are not read (``synth.store.metadata``)."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseBank:
    """Accepted noise windows, sorted by (source, frame, row, col).

    Attributes:
        patch: uint8 (M, s, s), grey levels of 0..255.
        source: int32 (M,), 0 = the source frames, 1 = the frames of ``noise.source``.
        frame: int32 (M,), code of the frame within that source.
        row: int32 (M,), first row of the window in its frame.
        col: int32 (M,), first column.
        mean: float64 (M,), DN.
        variance: float64 (M,), population variance, DN^2.
    """

    patch: npt.NDArray[np.uint8]
    source: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]
    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.source)

    def digest(self) -> str:
        """Return the sha256 over names, dtypes, shapes and values of all arrays."""
        state = hashlib.sha256()
        for name, dtype in BANK_DTYPES.items():
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            state.update(f"{name} {dtype} {array.shape};".encode())
            state.update(array.tobytes())
        return state.hexdigest()


class Reservoir:
    """Collects windows frame by frame and keeps the ``max_windows`` with the smallest keyed hash.

    The hash is over (source, frame, row, col), so the result depends on neither order nor workers (facts: the bank is
    bounded by a keyed reservoir; the hash function is our choice).
    """

    def __init__(self, seed: int, side: int, max_windows: int) -> None:
        self._seed, self._max = seed, max_windows
        self._patches: list[npt.NDArray[Any]] = [np.empty((0, side, side), np.uint8)]
        self._columns: list[npt.NDArray[Any]] = [np.empty((0, 6))]  # source, frame, row, col, mean, variance: exact
        self._keys: list[npt.NDArray[Any]] = [np.empty(0, np.uint64)]
        self._held = 0

    def add(self, source: int, frame: int, windows: Windows) -> None:
        """Offer the windows of one frame."""
        n = len(windows)
        codes = np.full(n, source), np.full(n, frame), windows.row, windows.col
        self._patches.append(windows.patch)
        self._columns.append(np.column_stack([*codes, windows.mean, windows.variance]).reshape(n, 6))
        self._keys.append(keyed_hash(self._seed, Stream.RESERVOIR, *codes))
        self._held += n
        if self._held > 2 * self._max:
            self._shrink()

    def _shrink(self) -> None:
        patches, columns, keys = (np.concatenate(parts) for parts in (self._patches, self._columns, self._keys))
        keep = np.argsort(keys, kind="stable")[: self._max]
        self._patches, self._columns, self._keys = [patches[keep]], [columns[keep]], [keys[keep]]
        self._held = len(keep)

    def bank(self) -> NoiseBank:
        """Return what was kept, sorted by (source, frame, row, col)."""
        self._shrink()
        columns = self._columns[0]
        order = np.lexsort(columns[:, 3::-1].T)
        source, frame, row, col = (columns[order, j].astype(np.int32) for j in range(4))
        return NoiseBank(self._patches[0][order], source, frame, row, col, columns[order, 4], columns[order, 5])
