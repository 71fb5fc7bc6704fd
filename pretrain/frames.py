"""Pools of frames: a folder of real frames or a store, with what the feed must know of each frame.

A resident pool holds its pixels as tensors on the device; a streamed one reads them from the shards of its store whenever they
are asked for. Frames keep their native size: smaller ones stand at the top left of a canvas of the pool's size, and
``valid_hw`` says how far they reach.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from synth import Corpus, Frame, Store, open_corpus, open_store
from synth.errors import SourceError
from synth.sample import Levels, MaskLevels
from synth.targets import find_targets

Indices = npt.NDArray[np.int64]
Residence = Literal["auto", "resident", "streamed"]

RESIDENT_BUDGET_MB = 4096
"""Pixels and masks of one pool that may stay on the device, MB of 10^6 bytes (our choice): 30,000 frames of 256x256."""
READ_BLOCK = 1024
"""Frames read at once while a resident pool is filled: one shard of 256x256."""


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """Pixels of some frames of a pool.

    Attributes:
        images_NHW: uint8 or uint16, on the device of the pool.
        masks_NHW: uint8 in {0, 1}.
        rows: int64 (B,), where in the two tensors each frame asked for stands.
    """

    images_NHW: Tensor
    masks_NHW: Tensor
    rows: Indices


class FramePixels(Protocol):
    """Where the pixels of a pool are."""

    is_streamed: bool

    def is_on(self, device: torch.device | str) -> bool:
        """Tell whether they are kept on a kind of device."""
        ...

    def fetch(self, indices: Indices) -> Fetched:
        """Return the pixels of frames, int64 (B,)."""
        ...


class ResidentPixels:
    """All frames as tensors on the device.

    Args:
        images_NHW: uint8 or uint16.
        masks_NHW: uint8 in {0, 1}.
    """

    is_streamed = False

    def __init__(self, images_NHW: Tensor, masks_NHW: Tensor) -> None:
        self._images_NHW, self._masks_NHW = images_NHW, masks_NHW

    def is_on(self, device: torch.device | str) -> bool:
        """Tell whether they are kept on a kind of device."""
        return self._images_NHW.device.type == torch.device(device).type

    def fetch(self, indices: Indices) -> Fetched:
        """Return the tensors themselves."""
        return Fetched(self._images_NHW, self._masks_NHW, indices)


class StreamedPixels:
    """Frames read from a store when asked for and sent to the device; safe between threads.

    Args:
        store: The store.
        device: Where frames go: to a GPU through pinned memory, without waiting.
    """

    is_streamed = True

    def __init__(self, store: Store, device: torch.device | str) -> None:
        self._store, self._device = store, torch.device(device)

    def is_on(self, device: torch.device | str) -> bool:
        """Tell whether they are kept on a kind of device: on none."""
        return False

    def fetch(self, indices: Indices) -> Fetched:
        """Read the frames asked for."""
        images, masks = torch.from_numpy(self._store.images(indices)), torch.from_numpy(self._store.masks(indices))
        if self._device.type == "cuda":
            images, masks = (part.pin_memory().to(self._device, non_blocking=True) for part in (images, masks))
        return Fetched(images, masks, np.arange(len(indices)))


@dataclass(frozen=True, slots=True, eq=False)
class FramePool:
    """Frames of one source.

    Attributes:
        name: Shown in messages: the path.
        hw: Rows and columns of the canvas all frames stand on.
        max_level: Level that stands for 1.0.
        bit_depth: Bits of the levels the images were made from.
        pixels: Where the pixels are.
        valid_hw: int64 (N, 2), rows and columns of each frame.
        is_labelled: bool (N,).
        centres_rc: float64 (T, 2), centres of all targets, frame by frame, px.
        first_target: int64 (N + 1,): targets first_target[i] to first_target[i + 1] are those of frame i.
        ids: Ids of the frames of a corpus; empty for a store.
        noise_MSS: uint8 (M, s, s), the noise windows a store keeps; empty for a corpus.
    """

    name: str
    hw: tuple[int, int]
    max_level: int
    bit_depth: int
    pixels: FramePixels
    valid_hw: Indices
    is_labelled: npt.NDArray[np.bool_]
    centres_rc: npt.NDArray[np.float64]
    first_target: Indices
    ids: tuple[str, ...]
    noise_MSS: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.valid_hw)

    @property
    def num_targets(self) -> int:
        """Targets of all frames."""
        return len(self.centres_rc)

    def frame(self, index: int) -> Frame:
        """Return one frame at its own size, on the host."""
        found = self.pixels.fetch(np.array([index]))
        at = int(found.rows[0]), slice(int(self.valid_hw[index, 0])), slice(int(self.valid_hw[index, 1]))
        levels, mask = (stack[at].cpu().numpy() for stack in (found.images_NHW, found.masks_NHW))
        return Frame(
            self.ids[index] if self.ids else f"sample-{index:08d}",
            levels,
            self.max_level,
            mask if self.is_labelled[index] else None,
        )


def open_pool(
    path: str | Path,
    *,
    split: str | None = None,
    only: Collection[str] | None = None,
    device: torch.device | str = "cpu",
    residence: Residence = "auto",
    budget_mb: int = RESIDENT_BUDGET_MB,
    **corpus_options: Any,
) -> FramePool:
    """Open a store, or a folder of real frames, as a pool.

    Args:
        path: A store or a folder.
        split: Split of a folder; None: every frame found.
        only: Ids of a folder to keep, or None for all of the split.
        device: Where resident pixels go.
        residence: ``resident``, ``streamed`` (stores only), or ``auto``: resident when the pixels fit into the budget.
        budget_mb: Budget of ``auto``.
        corpus_options: Further arguments of ``synth.open_corpus``.

    Raises:
        SourceError: There are no such frames, they mix bit depths, or what was asked for does not go together.
    """
    if (Path(path) / "manifest.json").is_file() or Path(path).suffix == ".zarr":
        if split is not None or only is not None or corpus_options:
            raise SourceError(f"split of {path}: must not be given for a store, which was made from one; leave it out")
        return pool_of_store(open_store(path), device=device, residence=residence, budget_mb=budget_mb)
    if residence == "streamed":
        raise SourceError(
            f"residence of {path}: must be resident or auto for a folder of frames; synthesize a store to stream it"
        )
    corpus = open_corpus(path, split, **corpus_options)
    frames = [corpus.read(ref) for ref in corpus.frames if only is None or ref.id in only]
    if only is not None and len(frames) != len(only):
        missing = sorted(set(only) - {frame.id for frame in frames})
        raise SourceError(f"only of {path}: {len(missing)} ids are not in split {split} ({', '.join(missing[:3])}); correct them")
    return pool_of_frames(frames, name=_name_of(corpus), device=device)


def pool_of_frames(frames: Sequence[Frame], *, name: str, device: torch.device | str = "cpu") -> FramePool:
    """Put decoded frames of any sizes into a resident pool.

    Args:
        frames: At least one.
        name: Shown in messages.
        device: Where the pixels go.

    Raises:
        SourceError: There is no frame, or they do not share one highest level.
    """
    if not frames:
        raise SourceError(f"{name}: holds no frame; choose another folder or split")
    tops = sorted({frame.max_level for frame in frames})
    if len(tops) > 1:
        raise SourceError(f"{name}: frames must share one bit depth, got highest levels {tops}; convert them or set max_level")
    valid_hw = np.array([frame.hw for frame in frames], np.int64)
    canvas_hw = int(valid_hw[:, 0].max()), int(valid_hw[:, 1].max())
    images: Levels = np.zeros((len(frames), *canvas_hw), frames[0].levels.dtype)
    masks: MaskLevels = np.zeros(images.shape, np.uint8)
    centres: list[npt.NDArray[np.float64]] = []
    for i, frame in enumerate(frames):
        box = i, slice(frame.hw[0]), slice(frame.hw[1])
        images[box] = frame.levels
        masks[box] = 0 if frame.mask is None else frame.mask
        centres.append(np.empty((0, 2)) if frame.mask is None else find_targets(frame.mask)[0])
    return FramePool(
        name=name,
        hw=canvas_hw,
        max_level=tops[0],
        bit_depth=frames[0].bit_depth,
        pixels=ResidentPixels(torch.from_numpy(images).to(device), torch.from_numpy(masks).to(device)),
        valid_hw=valid_hw,
        is_labelled=np.array([frame.mask is not None for frame in frames]),
        centres_rc=np.concatenate(centres),
        first_target=_offsets([len(found) for found in centres]),
        ids=tuple(frame.id for frame in frames),
        noise_MSS=np.empty((0, 0, 0), np.uint8),
    )


def pool_of_store(
    store: Store,
    *,
    device: torch.device | str = "cpu",
    residence: Residence = "auto",
    budget_mb: int = RESIDENT_BUDGET_MB,
) -> FramePool:
    """Make a pool of a store; arguments and errors as :func:`open_pool`."""
    depths = np.unique(store.column("sample/bit_depth")).tolist()
    if len(depths) > 1:
        raise SourceError(f"{store.path}: samples must share one bit depth, got {depths} bits; make one store of each")
    counts = store.column("sample/num_targets").astype(np.int64)
    counts[store.column("sample/labelled") == 0] = 0
    is_used = np.arange(store.column("target/row_subpx").shape[1]) < counts[:, None]
    centres = np.stack([store.column(f"target/{axis}_subpx")[is_used] for axis in ("row", "col")], axis=1)
    dtype = store.images([0]).dtype
    num_mb = len(store) * store.image_hw[0] * store.image_hw[1] * (dtype.itemsize + 1) / 1e6
    is_resident = residence == "resident" or (residence == "auto" and num_mb <= budget_mb)
    return FramePool(
        name=str(store.path),
        hw=store.image_hw,
        max_level=int(np.iinfo(dtype).max),
        bit_depth=int(depths[0]),
        pixels=_load(store, device) if is_resident else StreamedPixels(store, device),
        valid_hw=store.column("sample/valid_hw").astype(np.int64),
        is_labelled=store.column("sample/labelled") != 0,
        centres_rc=centres.astype(np.float64),
        first_target=_offsets(counts),
        ids=(),
        noise_MSS=store.noise_bank().patch,
    )


def _load(store: Store, device: torch.device | str) -> ResidentPixels:
    """Read a whole store, one block after the other, to where it will stay: the device never holds it twice."""
    return ResidentPixels(*(_read_blocks(read, len(store), device) for read in (store.images, store.masks)))


def _read_blocks(read: Callable[[Indices], npt.NDArray[Any]], length: int, device: torch.device | str) -> Tensor:
    first_one = torch.from_numpy(read(np.arange(1)))
    whole = torch.empty((length, *first_one.shape[1:]), dtype=first_one.dtype, device=device)
    for first in range(0, length, READ_BLOCK):
        block = np.arange(first, min(first + READ_BLOCK, length))
        whole[first : first + READ_BLOCK].copy_(torch.from_numpy(read(block)))
    return whole


def _offsets(counts: Sequence[int] | Indices) -> Indices:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _name_of(corpus: Corpus) -> str:
    return str(corpus.root) if corpus.split is None else f"{corpus.root} ({corpus.split} of {corpus.split_list})"
