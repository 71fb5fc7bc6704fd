"""What an audit concludes: how far a test list is known elsewhere, and how splits cut groups of near duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synth.corpora.grouping import near_duplicate_groups
from synth.corpora.leakage import Fingerprints, Overlap


@dataclass(frozen=True, slots=True)
class Exposure:
    """How far one test list is known to the frames outside the test lists.

    Attributes:
        name: Name of the test list, "set/test".
        num_frames: Frames of the list.
        equal: Ids with a pixel-identical frame outside the test lists, sorted.
        affected: Ids with an equal or near-duplicate frame outside the test lists, sorted.
        clean: All other ids, sorted: the de-duplicated list.
        num_by_group: Name of a group -> number of affected ids it accounts for.
    """

    name: str
    num_frames: int
    equal: tuple[str, ...]
    affected: tuple[str, ...]
    clean: tuple[str, ...]
    num_by_group: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class GroupCount:
    """Near-duplicate groups of one data set, splits taken together.

    Attributes:
        name: Name of the set.
        num_frames: Its frames.
        num_groups: Groups, single frames included.
        largest: Frames of the largest group.
        num_cut: Groups with frames in more than one split.
    """

    name: str
    num_frames: int
    num_groups: int
    largest: int
    num_cut: int


def expose(test: Fingerprints, overlaps: Iterable[Overlap]) -> Exposure:
    """Return how far a test list is known to the frames outside the test lists.

    Args:
        test: Fingerprints of the test list.
        overlaps: Comparisons of the audit; those whose ``b`` is this list and whose ``a`` is no test list count.
    """
    against = [overlap for overlap in overlaps if overlap.b == test.name and part_of(overlap.a) != "test"]
    equal = {pair[1] for overlap in against for pair in overlap.equal_pixels}
    affected = {name for overlap in against for name in overlap.affected_b}
    return Exposure(
        name=test.name,
        num_frames=len(test),
        equal=tuple(sorted(equal)),
        affected=tuple(sorted(affected)),
        clean=tuple(sorted({*test.ids} - affected)),
        num_by_group={overlap.a: len(overlap.affected_b) for overlap in against},
    )


def count_groups(name: str, parts: Sequence[Fingerprints], threshold: float) -> GroupCount:
    """Count the near-duplicate groups of one data set.

    Args:
        name: Name of the set.
        parts: Fingerprints of its splits.
        threshold: Least NCC of a near duplicate, in (0, 1].
    """
    merged = Fingerprints(
        name=name,
        ids=tuple(frame_id for part in parts for frame_id in part.ids),
        pixels_sha256=tuple(digest for part in parts for digest in part.pixels_sha256),
        thumbnails=np.concatenate([part.thumbnails for part in parts]),
    )
    groups = near_duplicate_groups(merged, threshold)
    part_codes = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    parts_per_group = np.bincount(np.unique(np.stack([groups, part_codes]), axis=1)[0])
    sizes = np.bincount(groups)
    return GroupCount(name, len(merged), len(sizes), int(sizes.max()), int(np.count_nonzero(parts_per_group > 1)))


def part_of(name: str) -> str:
    """Return the split in the name of a group, "set/split"."""
    return name.rpartition("/")[2]
