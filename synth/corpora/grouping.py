"""Groups of frames that look alike, and a validation list that never cuts one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from synth.corpora.leakage import NEAR_DUPLICATE_NCC, Fingerprints, near_duplicates_within
from synth.errors import SourceError
from synth.rng import Stream, keyed_hash
from synth.sample import MaskLevels

IntArray = npt.NDArray[np.int64]


def near_duplicate_groups(prints: Fingerprints, threshold: float = NEAR_DUPLICATE_NCC) -> IntArray:
    """Return the group of every frame: frames joined by a chain of near duplicates or equal pixels.

    Args:
        prints: Fingerprints of N frames.
        threshold: Least NCC of a near duplicate, in (0, 1].

    Returns:
        int64 (N,) labels 0..G-1, in order of the first frame of each group.
    """
    first_of: dict[str, int] = {}
    edges = [(first_of.setdefault(digest, i), i) for i, digest in enumerate(prints.pixels_sha256)]
    edges += [(i, j) for i, j, _ in near_duplicates_within(prints.thumbnails, threshold)]
    rows, cols = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges), np.int8), (rows, cols)), shape=(len(prints), len(prints)))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse], dtype=np.int64)


def count_targets(mask: MaskLevels) -> int:
    """Return the number of 8-connected components of a mask.

    Args:
        mask: uint8 (H, W) in {0, 1}.
    """
    return int(label(mask, structure=np.ones((3, 3), np.int8))[1])


def draw_validation(groups: IntArray, strata: IntArray, num_wanted: int, seed: int) -> npt.NDArray[np.bool_]:
    """Draw whole groups of frames for validation, with every stratum in its share.

    Groups are visited in an order given by integer hashes, the same on every machine, and taken while no stratum
    exceeds its quota (largest remainders); what is still missing is filled by groups that fit in whatever stratum.

    Args:
        groups: int64 (N,) group of each frame.
        strata: int64 (N,) stratum of each frame, for instance its number of targets.
        num_wanted: Frames to draw, 1..N-1.
        seed: Seed of the order.

    Returns:
        bool (N,), true for exactly ``num_wanted`` frames.

    Raises:
        SourceError: The number is out of range, or whole groups cannot add up to it.
    """
    if not 0 < num_wanted < len(groups):
        raise SourceError(f"validation list: must hold 1..{len(groups) - 1} of {len(groups)} frames, got {num_wanted}")
    codes = np.unique(strata, return_inverse=True)[1]
    counts = np.zeros((int(groups.max()) + 1, int(codes.max()) + 1), np.int64)
    np.add.at(counts, (groups, codes), 1)
    quotas = _largest_remainders(counts.sum(axis=0), num_wanted)
    order = np.argsort(keyed_hash(seed, Stream.SPLIT, np.arange(len(counts))), kind="stable")
    taken = np.zeros(len(counts), np.bool_)
    for group in order:
        taken[group] = bool(np.all(counts[taken].sum(axis=0) + counts[group] <= quotas))
    for group in order:
        if not taken[group] and counts[taken].sum() + counts[group].sum() <= num_wanted:
            taken[group] = True
    num_drawn = int(counts[taken].sum())
    if num_drawn != num_wanted:
        raise SourceError(
            f"validation list: whole groups of near duplicates add up to {num_drawn} frames, not {num_wanted};"
            f" ask for {num_drawn} or choose another seed"
        )
    return taken[groups]


def _largest_remainders(sizes: IntArray, total: int) -> IntArray:
    """Return integer shares of ``total`` in proportion to ``sizes``; ties go to the first."""
    scaled = sizes * total
    shares = scaled // sizes.sum()
    missing = total - int(shares.sum())
    shares[np.argsort(-(scaled % sizes.sum()), kind="stable")[:missing]] += 1
    return np.asarray(shares, dtype=np.int64)
