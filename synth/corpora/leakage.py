"""Leakage between sets and splits: shared ids, equal pixels, near duplicates.

Near duplicate   Normalised cross-correlation (NCC) of two thumbnails >= 0.95. Thumbnail: grey levels as floats,
                 area-averaged (Pillow's BOX filter) to 32x32 whatever the aspect ratio, mean removed, unit norm; the
                 NCC is then a dot product. It is an upper bound on leakage: smooth skies correlate without being one
                 scene. On SIRST v1, 6 of the 86 test frames (7.0 %) have such a partner among the 256 training frames,
                 and the same 6 among the 341 of trainval; the next NCC below is 0.946, so the choice of filter hardly
                 matters.
Equal pixels     sha256 over shape, dtype and decoded levels: finds renamed and losslessly re-encoded copies.
Shared ids       Names only: between sets they mean little alone (``000001`` is in many).

A flat frame has no NCC (its thumbnail is zero): only equal pixels find it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from synth.sample import FloatImage, Frame

THUMBNAIL_SIDE_PX = 32
NEAR_DUPLICATE_NCC = 0.95
_BLOCK = 2048  # frames a side of one matrix product: 16 MB of scores

Thumbnails = npt.NDArray[np.float32]
Match = tuple[int, int, float]


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprints:
    """What an audit keeps of a group of frames, 4 KB each.

    Attributes:
        name: Name of the group, "set/split".
        ids: Ids of its frames.
        pixels_sha256: Hash of the pixels of each frame.
        thumbnails: float32 (N, 32, 32), zero mean, unit norm (zero for flat frames).
    """

    name: str
    ids: tuple[str, ...]
    pixels_sha256: tuple[str, ...]
    thumbnails: Thumbnails

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two frames that look alike.

    Attributes:
        id_a: Id in the first group.
        id_b: Id in the second group.
        ncc: Normalised cross-correlation of their thumbnails, threshold..1.
    """

    id_a: str
    id_b: str
    ncc: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two groups of frames share.

    Attributes:
        a: Name of the first group.
        b: Name of the second group, the one to be protected.
        shared_ids: Ids in both, sorted.
        equal_pixels: Pairs (id in a, id in b) of equal pixels, sorted.
        near_duplicates: Pairs of NCC >= threshold, highest first; equal frames are among them unless flat.
    """

    a: str
    b: str
    shared_ids: tuple[str, ...]
    equal_pixels: tuple[tuple[str, str], ...]
    near_duplicates: tuple[NearDuplicate, ...]

    @property
    def affected_b(self) -> frozenset[str]:
        """Ids of ``b`` that have an equal or near-duplicate frame in ``a``."""
        return frozenset(pair[1] for pair in self.equal_pixels) | frozenset(pair.id_b for pair in self.near_duplicates)


def thumbnail(frame: Frame) -> FloatImage:
    """Return the thumbnail that near duplicates are judged by.

    Args:
        frame: Any frame of at least 1 px.

    Returns:
        float32 (32, 32) of zero mean and unit norm; all zero for a flat frame.
    """
    grey = Image.fromarray(np.ascontiguousarray(frame.levels, dtype=np.float32))
    small = np.asarray(grey.resize((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), Image.Resampling.BOX), dtype=np.float64)
    centred = small - small.mean()
    norm = float(np.sqrt(np.sum(centred * centred)))
    if norm <= 1e-6 * frame.max_level:
        return np.zeros(small.shape, np.float32)
    return np.asarray(centred / norm, dtype=np.float32)


def fingerprint(name: str, frames: Iterable[tuple[Frame, str]]) -> Fingerprints:
    """Reduce frames to what an audit needs, one at a time.

    Args:
        name: Name of the group.
        frames: Frames with the sha256 of their pixels (``FileHashes.pixels_sha256``).
    """
    ids: list[str] = []
    hashes: list[str] = []
    thumbnails: list[FloatImage] = []
    for frame, pixels_sha256 in frames:
        ids.append(frame.id)
        hashes.append(pixels_sha256)
        thumbnails.append(thumbnail(frame))
    shape = (len(ids), THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX)
    return Fingerprints(name, tuple(ids), tuple(hashes), np.array(thumbnails, dtype=np.float32).reshape(shape))


def near_duplicates(thumbs_a: Thumbnails, thumbs_b: Thumbnails, threshold: float = NEAR_DUPLICATE_NCC) -> list[Match]:
    """Return all pairs of frames of two groups that look alike.

    Args:
        thumbs_a: float32 (N, 32, 32) from :func:`thumbnail`.
        thumbs_b: float32 (M, 32, 32).
        threshold: Least NCC of a pair, in (0, 1].

    Returns:
        (index in a, index in b, NCC), ordered by indices. Memory is bounded by blocks, never N x M.
    """
    return sorted(_matches(thumbs_a, thumbs_b, threshold, within=False))


def near_duplicates_within(thumbs: Thumbnails, threshold: float = NEAR_DUPLICATE_NCC) -> list[Match]:
    """Return all pairs i < j of one group that look alike; arguments as in :func:`near_duplicates`."""
    return sorted(_matches(thumbs, thumbs, threshold, within=True))


def compare(a: Fingerprints, b: Fingerprints, threshold: float = NEAR_DUPLICATE_NCC) -> Overlap:
    """Return what two groups share.

    Args:
        a: First group.
        b: Second group, the one to be protected.
        threshold: Least NCC of a near duplicate, in (0, 1].
    """
    by_hash: dict[str, list[str]] = {}
    for frame_id, digest in zip(a.ids, a.pixels_sha256, strict=True):
        by_hash.setdefault(digest, []).append(frame_id)
    equal = ((id_a, id_b) for id_b, digest in zip(b.ids, b.pixels_sha256, strict=True) for id_a in by_hash.get(digest, ()))
    near = [NearDuplicate(a.ids[i], b.ids[j], ncc) for i, j, ncc in near_duplicates(a.thumbnails, b.thumbnails, threshold)]
    near.sort(key=lambda pair: (-pair.ncc, pair.id_a, pair.id_b))
    return Overlap(a.name, b.name, tuple(sorted({*a.ids} & {*b.ids})), tuple(sorted(equal)), tuple(near))


def _matches(thumbs_a: Thumbnails, thumbs_b: Thumbnails, threshold: float, *, within: bool) -> Iterator[Match]:
    num_values = THUMBNAIL_SIDE_PX**2
    vectors_a, vectors_b = thumbs_a.reshape(-1, num_values), thumbs_b.reshape(-1, num_values)
    for top in range(0, len(vectors_a), _BLOCK):
        for left in range(top if within else 0, len(vectors_b), _BLOCK):
            ncc = vectors_a[top : top + _BLOCK] @ vectors_b[left : left + _BLOCK].T
            for i, j in np.argwhere(ncc >= threshold):
                if not within or top + i < left + j:
                    yield int(top + i), int(left + j), min(float(ncc[i, j]), 1.0)
