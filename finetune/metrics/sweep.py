"""All thresholds of one frame in one pass: objects grow as the threshold falls, so pixels are added, never re-labelled.

Pixels enter from the highest level to the lowest into a union-find forest whose roots carry area and coordinate sums; after
each level the roots near a target are its candidates. The result equals labelling and matching every threshold anew
(tested), at about the cost of one labelling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from finetune.metrics.matching import assign, distance_steps
from finetune.metrics.objects import IntArray, Objects

LevelArray = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What K thresholds of one frame give, by threshold (first axis) and gate (second).

    Attributes:
        num_pixels: int64 (K,) predicted pixels.
        num_objects: int64 (K,) predicted objects.
        num_matched: int64 (K, R) matched targets.
        area_matched: int64 (K, R) pixels of the matched predictions.
    """

    num_pixels: IntArray
    num_objects: IntArray
    num_matched: IntArray
    area_matched: IntArray


def sweep_thresholds(levels: LevelArray, num_thresholds: int, truth: Objects, gates_px: Sequence[int]) -> Sweep:
    """Label and match a frame at every threshold.

    Args:
        levels: int16 (H, W): how many thresholds, from the lowest, each pixel exceeds; 0..K.
        num_thresholds: K.
        truth: Objects of the mask.
        gates_px: R gates, whole px, ascending.
    """
    gates = np.asarray(gates_px, np.int64)
    counts, matched, areas, changed, conflicts = _sweep(levels, num_thresholds, truth.sums, gates)
    if conflicts.shape[1]:
        _settle_conflicts(conflicts, truth.areas, matched, areas)
    for k in range(num_thresholds - 2, -1, -1):  # where no pixel was added, the map is that of the threshold above
        if not changed[k]:
            counts[:, k], matched[k], areas[k] = counts[:, k + 1], matched[k + 1], areas[k + 1]
    return Sweep(counts[0], counts[1], matched, areas)


def _settle_conflicts(conflicts: IntArray, truth_areas: IntArray, matched: IntArray, areas: IntArray) -> None:
    """Solve the thresholds where two targets want one object; rows: threshold, gate, target, object, steps, area."""
    keys = conflicts[0] * matched.shape[1] + conflicts[1]
    cuts = np.flatnonzero(np.diff(keys)) + 1
    for part in np.split(conflicts, cuts, axis=1):
        k, r = int(part[0, 0]), int(part[1, 0])
        chosen = assign(part[2:5], truth_areas[part[2]], part[5])
        matched[k, r], areas[k, r] = np.count_nonzero(chosen), part[5, chosen].sum()


@njit(cache=True, nogil=True, inline="always")
def _find(parent: IntArray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _order_by_level(levels: LevelArray, num: int) -> Any:
    """Return the raster positions of pixels above level 0, highest level first, and where each level starts."""
    starts = np.zeros(num + 2, np.int64)
    flat = levels.ravel()
    for i in range(flat.size):
        starts[num - flat[i] + 1] += 1
    for k in range(1, num + 2):
        starts[k] += starts[k - 1]
    order = np.empty(starts[num], np.int64)
    cursor = starts.copy()
    for i in range(flat.size):
        if flat[i] > 0:
            slot = num - flat[i]
            order[cursor[slot]] = i
            cursor[slot] += 1
    return order, starts


@njit(cache=True, nogil=True)
def _add_pixel(i: int, order: IntArray, node_of: Any, parent: IntArray, sums: IntArray) -> None:
    """Put one pixel into the forest and join it with its active 8-neighbours."""
    height, width = node_of.shape
    row, col = order[i] // width, order[i] % width
    node_of[row, col] = i
    parent[i] = i
    sums[0, i], sums[1, i], sums[2, i] = 1, row, col
    for r in range(max(row - 1, 0), min(row + 2, height)):
        for c in range(max(col - 1, 0), min(col + 2, width)):
            other = node_of[r, c]
            if other < 0 or other == i:
                continue
            a, b = _find(parent, i), _find(parent, other)
            if a != b:
                a, b = min(a, b), max(a, b)
                parent[b] = a
                for s in range(3):
                    sums[s, a] += sums[s, b]


@njit(cache=True, nogil=True)
def _append(rows: IntArray, n: int, k: int, r: int, t: int, p: int, steps: int, area: int) -> Any:
    if n == rows.shape[1]:
        grown = np.empty((6, 2 * n), np.int64)
        grown[:, :n] = rows
        rows = grown
    rows[0, n], rows[1, n], rows[2, n], rows[3, n], rows[4, n], rows[5, n] = k, r, t, p, steps, area
    return rows


@njit(cache=True, nogil=True)
def _candidates(k: int, roots: IntArray, sums: IntArray, sums_t: IntArray, gates: IntArray, pairs: IntArray) -> Any:
    """Return the pairs closer than each gate at one threshold, sorted by gate and target."""
    n = 0
    widest = gates[gates.size - 1]
    for t in range(sums_t.shape[1]):
        for p in roots:
            steps = distance_steps(sums_t[0, t], sums_t[1, t], sums_t[2, t], sums[0, p], sums[1, p], sums[2, p], widest)
            if steps >= 0:
                pairs = _append(pairs, n, k, gates.size - 1, t, p, steps, sums[0, p])
                n += 1
    num_widest = n
    for r in range(gates.size - 1):
        for e in range(num_widest):
            t, p = pairs[2, e], pairs[3, e]
            steps = distance_steps(sums_t[0, t], sums_t[1, t], sums_t[2, t], sums[0, p], sums[1, p], sums[2, p], gates[r])
            if steps >= 0:
                pairs = _append(pairs, n, k, r, t, p, steps, sums[0, p])
                n += 1
    return pairs, n


@njit(cache=True, nogil=True)
def _is_shared(pairs: IntArray, first: int, last: int) -> bool:
    """Tell whether two targets of one gate want the same object."""
    for a in range(first, last):
        for b in range(first, a):
            if pairs[3, a] == pairs[3, b]:
                return True
    return False


@njit(cache=True, nogil=True)
def _match_stars(pairs: IntArray, first: int, last: int) -> Any:
    """Match every target to its best object, nearest first, then largest; no object is wanted twice."""
    num, area = 0, 0
    e = first
    while e < last:
        best = e
        while e < last and pairs[2, e] == pairs[2, best]:
            nearer = pairs[4, e] < pairs[4, best]
            if nearer or (pairs[4, e] == pairs[4, best] and pairs[5, e] > pairs[5, best]):
                best = e
            e += 1
        num += 1
        area += pairs[5, best]
    return num, area


@njit(cache=True, nogil=True)
def _sweep(levels: LevelArray, num: int, sums_t: IntArray, gates: IntArray) -> Any:
    order, starts = _order_by_level(levels, num)
    node_of = np.full(levels.shape, -1, np.int32)
    parent = np.empty(order.size, np.int64)
    sums = np.empty((3, order.size), np.int64)
    roots = np.empty(order.size, np.int64)
    counts = np.zeros((2, num), np.int64)
    matched, areas = np.zeros((num, gates.size), np.int64), np.zeros((num, gates.size), np.int64)
    changed = np.zeros(num, np.bool_)
    pairs, conflicts = np.empty((6, 16), np.int64), np.empty((6, 16), np.int64)
    num_conflicts, num_roots = 0, 0
    for k in range(num - 1, -1, -1):
        begin, end = starts[num - 1 - k], starts[num - k]
        if begin == end:
            continue
        changed[k] = True
        for i in range(begin, end):
            _add_pixel(i, order, node_of, parent, sums)
            roots[num_roots] = i
            num_roots += 1
        alive = 0
        for i in range(num_roots):  # joined objects leave the list
            if parent[roots[i]] == roots[i]:
                roots[alive] = roots[i]
                alive += 1
        num_roots = alive
        counts[0, k], counts[1, k] = end, num_roots
        pairs, n = _candidates(k, roots[:num_roots], sums, sums_t, gates, pairs)
        first = 0
        while first < n:
            last = first
            while last < n and pairs[1, last] == pairs[1, first]:
                last += 1
            if _is_shared(pairs, first, last):
                for e in range(first, last):
                    conflicts = _append(
                        conflicts, num_conflicts, k, pairs[1, e], pairs[2, e], pairs[3, e], pairs[4, e], pairs[5, e]
                    )
                    num_conflicts += 1
            else:
                matched[k, pairs[1, first]], areas[k, pairs[1, first]] = _match_stars(pairs, first, last)
            first = last
    return counts, matched, areas, changed, conflicts[:, :num_conflicts]
