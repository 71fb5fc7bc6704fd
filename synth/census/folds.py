"""Which frames belong together, and folds that never cut such a group.

Without them a classifier would be asked about plates it has learnt by heart, and its AUC would read plate identity
(physics section 12).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from synth.corpora.leakage import Thumbnails, near_duplicates_within
from synth.rng import Stream, keyed_generator

IntArray = npt.NDArray[np.int64]

FOLDS_INDEX = 1
"""Index of the generator that orders groups of equal size."""


def frame_groups(links: Sequence[Sequence[str]], thumbnails: Thumbnails, painted: npt.NDArray[np.bool_]) -> IntArray:
    """Return the group of every frame: frames joined by a chain of shared links or near duplicates.

    Painted frames are not compared by thumbnail: two skies drawn from one model correlate at 32x32 without sharing anything
    (351 of 2,000 built-in frames chain into one group).

    Args:
        links: What ties each of N frames to others.
        thumbnails: float32 (N, 32, 32).
        painted: bool (N,), frames on a procedural background.

    Returns:
        int64 (N,) labels 0..G-1.
    """
    first_of: dict[str, int] = {}
    edges = [(first_of.setdefault(link, number), number) for number, names in enumerate(links) for link in names]
    real = np.flatnonzero(~painted)
    edges += [(int(real[i]), int(real[j])) for i, j, _ in near_duplicates_within(thumbnails[real])]
    rows, cols = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges), np.int8), (rows, cols)), shape=(len(links), len(links)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def assign_folds(groups: IntArray, labels: npt.NDArray[np.bool_], num_folds: int, seed: int) -> IntArray:
    """Deal whole groups to folds so that each fold gets its share of both classes.

    Largest groups first, each to the fold with the least of its classes' shares so far; groups of one size in an order drawn
    from the seed.

    Args:
        groups: int64 (P,) group of each patch.
        labels: bool (P,) class of each patch; both classes occur.
        num_folds: Folds wanted, >= 2.
        seed: Seed of the order.

    Returns:
        int64 (P,), 0..num_folds-1.
    """
    names, codes = np.unique(groups, return_inverse=True)
    shares = np.zeros((len(names), 2))
    np.add.at(shares, (codes, labels.astype(np.int64)), 1.0)
    shares /= shares.sum(axis=0)
    order = keyed_generator(seed, Stream.CENSUS, FOLDS_INDEX).permutation(len(names))
    order = order[np.argsort(-shares.sum(axis=1)[order], kind="stable")]
    held = np.zeros((num_folds, 2))
    fold_of = np.empty(len(names), np.int64)
    for group in order:
        fold_of[group] = np.argmin(held @ shares[group])
        held[fold_of[group]] += shares[group]
    return np.asarray(fold_of[codes], dtype=np.int64)
