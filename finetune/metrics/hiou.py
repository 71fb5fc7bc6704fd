"""hIoU: how well targets are found and drawn at once ("Rethinking Evaluation of IRSTD", arXiv 2509.16888).

hIoU = seg_IoU * loc_IoU; seg_IoU is the mean mask IoU of the matched pairs, loc_IoU = TP / (TP + FP + FN) over targets, both
pooled over the data set. Pairs come from OPDC (overlap priority, distance compensation), in two readings:

released   lartpang/PyIRSTDMetrics (MIT): stage 1 assigns all objects to all targets by least total distance and keeps pairs
           of IoU >= 0.5, so a good pair can be lost to a nearer object without overlap; stage 2 does the same among what is
           left and keeps pairs closer than the gate. Equal totals are settled by the pairs that count and their overlap
           here, by label order there.
           One more false object can raise it in dense scenes, because it takes part in stage 1.
strict     (our choice) stage 1 takes every pair of IoU >= 0.5 (nothing has two such partners); stage 2 takes, among what is
           left, as many pairs closer than the gate as possible, then the least total distance, then the highest overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.optimize import linear_sum_assignment

from finetune.metrics.matching import STEPS_PER_PX
from finetune.metrics.objects import IntArray, Objects, intersections

Opdc = Literal["released", "strict"]
MIN_PAIR_IOU = 0.5
"""Least IoU of a pair of stage 1 (released code, its default)."""

_IOU_STEPS = 4096  # resolution of the overlap that settles equal distances (our choice)

_TIE_PX = 4.0 / STEPS_PER_PX  # distances closer than this are left to the exact solver

FloatArray = npt.NDArray[np.float64]
Pair = tuple[int, int]


def overlap_pairs(truth: Objects, prediction: Objects, gate_px: int, opdc: Opdc) -> tuple[Pair, ...]:
    """Return intersection and union, in pixels, of the pairs that OPDC matches.

    Args:
        truth: Objects of the mask.
        prediction: Objects of the decided map.
        gate_px: Pairs of stage 2 must be closer than this, px.
        opdc: Which reading.
    """
    if not len(truth) or not len(prediction):
        return ()
    shared = intersections(truth, prediction)
    union, distance, partners = _plain(truth.sums, prediction.sums, shared, gate_px)
    pairs = [(t, p) for t, p in enumerate(partners.tolist()) if p >= 0]
    if opdc == "strict" or len(partners) == 0:
        scene = _Scene(distance, shared / union, shared >= MIN_PAIR_IOU * union, gate_px)
        pairs = _strict_pairs(scene) if opdc == "strict" else _released_pairs(scene)
    return tuple(sorted((int(shared[t, p]), int(union[t, p])) for t, p in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """Targets (rows) against objects (columns): distances, px, IoU, whether it is at least 0.5, and the gate, px.

    A target and an object of IoU >= 0.5 have no second such partner: two objects would have to be halves of the target that
    do not touch, which its being connected excludes.
    """

    distance: FloatArray
    iou: FloatArray
    is_good: npt.NDArray[np.bool_]
    gate_px: int


def _released_pairs(scene: _Scene) -> list[Pair]:
    counts = 2.0 * scene.is_good + (scene.distance < scene.gate_px)
    bonus = np.rint(scene.iou * _IOU_STEPS) + counts * (2.0 * len(scene.distance) * _IOU_STEPS)
    pairs: list[Pair] = []
    if scene.is_good.any():
        pairs = [pair for pair in _assign(scene.distance, bonus, math.inf) if scene.is_good[pair]]
    rows, cols = _left(pairs, scene.distance.shape)
    rest = scene.distance[rows][:, cols]
    if (rest < scene.gate_px).any():
        near = _assign(rest, bonus[rows][:, cols], math.inf)
        pairs += [(rows[i], cols[j]) for i, j in near if rest[i, j] < scene.gate_px]
    return pairs


def _strict_pairs(scene: _Scene) -> list[Pair]:
    pairs: list[Pair] = [(int(t), int(p)) for t, p in np.argwhere(scene.is_good)]
    rows, cols = _left(pairs, scene.distance.shape)
    rest = scene.distance[rows][:, cols]
    if (rest < scene.gate_px).any():
        near = _assign(rest, np.rint(scene.iou[rows][:, cols] * _IOU_STEPS), scene.gate_px)
        pairs += [(rows[i], cols[j]) for i, j in near if rest[i, j] < scene.gate_px]
    return pairs


def _left(pairs: list[Pair], shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return the targets and objects that are in no pair."""
    used_t, used_p = {t for t, _ in pairs}, {p for _, p in pairs}
    return [t for t in range(shape[0]) if t not in used_t], [p for p in range(shape[1]) if p not in used_p]


def _assign(distance: FloatArray, bonus: FloatArray, limit: float) -> list[Pair]:
    """Assign by least total distance, then highest total bonus; pairs at or beyond the limit only to fill up."""
    most = min(distance.shape)
    cost = np.rint(distance * STEPS_PER_PX) * (float(bonus.max()) * most + 1.0) - bonus
    allowed = distance < limit
    if not allowed.all():
        cost = np.where(allowed, cost, (float(np.abs(cost[allowed]).max()) + 1.0) * (2 * most + 1))
    return [(int(t), int(p)) for t, p in zip(*linear_sum_assignment(cost), strict=True)]


@njit(cache=True, nogil=True)
def _nearest_each(distance: FloatArray, free_t: npt.NDArray[np.bool_], free_p: npt.NDArray[np.bool_]) -> Any:
    """Give each member of the smaller side its nearest of the other; plain when no two want the same and none has a tie.

    Then it is the only assignment of least total distance.
    """
    picked = np.full(free_t.size, -1, np.int64)
    by_target = free_t.sum() <= free_p.sum()
    num, num_others = (free_t.size, free_p.size) if by_target else (free_p.size, free_t.size)
    taken = np.zeros(num_others, np.bool_)
    for a in range(num):
        if not (free_t[a] if by_target else free_p[a]):
            continue
        best, first, second = -1, np.inf, np.inf
        for b in range(num_others):
            if not (free_p[b] if by_target else free_t[b]):
                continue
            d = distance[a, b] if by_target else distance[b, a]
            if d < first:
                best, first, second = b, d, first
            elif d < second:
                second = d
        if best < 0:
            continue
        if taken[best] or second - first < _TIE_PX:
            return picked, False
        taken[best] = True
        if by_target:
            picked[a] = best
        else:
            picked[best] = a
    return picked, True


@njit(cache=True, nogil=True)
def _distances(sums_t: IntArray, sums_p: IntArray) -> Any:
    """Return centroid distances (n, m), px, the same to the last bit however the frame is turned (integer numerators)."""
    distance = np.empty((sums_t.shape[1], sums_p.shape[1]))
    for t in range(sums_t.shape[1]):
        for p in range(sums_p.shape[1]):
            product = float(sums_t[0, t] * sums_p[0, p])
            across = (sums_p[1, p] * sums_t[0, t] - sums_t[1, t] * sums_p[0, p]) / product
            along = (sums_p[2, p] * sums_t[0, t] - sums_t[2, t] * sums_p[0, p]) / product
            distance[t, p] = np.sqrt(across * across + along * along)
    return distance


@njit(cache=True, nogil=True)
def _plain(sums_t: IntArray, sums_p: IntArray, shared: IntArray, gate_px: int) -> Any:
    """Return unions, distances, and the partner of each target (-1 for none) in the released reading.

    Both stages are run by nearest neighbours; where that is not plain, which is rare, there are no partners at all.
    """
    num_t, num_p = shared.shape
    union, distance = np.empty((num_t, num_p), np.int64), _distances(sums_t, sums_p)
    is_good = np.zeros((num_t, num_p), np.bool_)
    for t in range(num_t):
        for p in range(num_p):
            union[t, p] = sums_t[0, t] + sums_p[0, p] - shared[t, p]
            is_good[t, p] = shared[t, p] >= MIN_PAIR_IOU * union[t, p]
    kept = np.full(num_t, -1, np.int64)
    free_t, free_p = np.ones(num_t, np.bool_), np.ones(num_p, np.bool_)
    for stage in range(2):
        if stage == 0 and not is_good.any():
            continue
        picked, is_plain = _nearest_each(distance, free_t, free_p)
        if not is_plain:
            return union, distance, kept[:0]
        for t in range(num_t):
            p = picked[t]
            if p >= 0 and (is_good[t, p] if stage == 0 else distance[t, p] < gate_px):
                kept[t] = p
                free_t[t], free_p[p] = False, False
    return union, distance, kept
