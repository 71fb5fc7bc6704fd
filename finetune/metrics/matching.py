"""One-to-one matching of predicted objects to targets by centroid distance.

Rule: only pairs closer than the gate, strictly; as many pairs as possible; among those the least total distance; among those
the largest matched prediction area, then target area. The last two steps are our choice: they make the result a function of
the scene alone, where a solver's own choice between equal assignments would follow label order and change with a mirror.

Arithmetic: the difference of two centroids is (sum_p * area_t - sum_t * area_p) / (area_p * area_t), so "distance < gate" is
decided on integers, exactly (a distance of exactly 3 px is no match). Total distances are compared in units of
1 / ``STEPS_PER_PX`` px, again as integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.optimize import linear_sum_assignment

from finetune.metrics.objects import IntArray, Objects

STEPS_PER_PX = 65536
"""Resolution of compared distances (our choice): 1.5e-5 px, far below any difference that matters."""

_EXACT_LIMIT = 2**30  # gate * area * area below this keeps every square below 2^62; larger products are compared as floats
_EXACT_FLOATS = 2**53  # integers up to here are exact in the float64 costs of linear_sum_assignment


def match_objects(truth: Objects, prediction: Objects, gate_px: int) -> tuple[IntArray, IntArray]:
    """Match predicted objects to targets.

    Args:
        truth: Objects of the mask.
        prediction: Objects of the decided map.
        gate_px: Pairs must be closer than this, px; a whole number >= 1.

    Returns:
        Indices of the matched targets, ascending, and of their predictions; int64 (k,) each.
    """
    partners, edges, is_shared = _nearest(truth.sums, prediction.sums, gate_px)
    if is_shared:
        chosen = edges[:, assign(edges, truth.areas[edges[0]], prediction.areas[edges[1]])]
        return chosen[0], chosen[1]
    matched = np.flatnonzero(partners >= 0)
    return matched, partners[matched]


def assign(edges: IntArray, truth_areas: IntArray, prediction_areas: IntArray) -> npt.NDArray[np.bool_]:
    """Choose among candidate pairs by the rule of this module.

    Args:
        edges: int64 (3, E): target, prediction, distance in steps; sorted by target.
        truth_areas: int64 (E,) pixels of each pair's target.
        prediction_areas: int64 (E,) pixels of each pair's prediction.

    Returns:
        bool (E,), true for the chosen pairs.
    """
    chosen = np.zeros(edges.shape[1], np.bool_)
    for block in _blocks(edges):
        targets, rows = np.unique(edges[0, block], return_inverse=True)
        predictions, cols = np.unique(edges[1, block], return_inverse=True)
        cost, forbidden = _costs(
            edges[2, block], truth_areas[block], prediction_areas[block], min(len(targets), len(predictions))
        )
        matrix = np.full((len(targets), len(predictions)), forbidden)
        matrix[rows, cols] = cost
        of_pair = dict(zip(zip(rows.tolist(), cols.tolist(), strict=True), block, strict=True))
        picked = zip(*(indices.tolist() for indices in linear_sum_assignment(matrix)), strict=True)
        chosen[[of_pair[pair] for pair in picked if pair in of_pair]] = True
    return chosen


def _blocks(edges: IntArray) -> list[list[int]]:
    """Return the edges of each connected block of the candidate graph."""
    block_of: dict[tuple[int, int], list[int]] = {}
    for edge, (target, prediction) in enumerate(edges[:2].T.tolist()):
        ends = ((0, target), (1, prediction))
        joined = sorted({id(block): block for end in ends if (block := block_of.get(end))}.values(), key=len)
        merged = [index for block in joined for index in block] + [edge]
        for index in merged:
            block_of[0, int(edges[0, index])] = block_of[1, int(edges[1, index])] = merged
    return [sorted(block) for block in {id(block): block for block in block_of.values()}.values()]


def _costs(
    steps: IntArray, truth_areas: IntArray, prediction_areas: IntArray, most: int
) -> tuple[npt.NDArray[np.float64], float]:
    """Return one integer-valued cost an edge, distance first, then areas, and the cost of a forbidden pair."""
    areas_t, areas_p = int(truth_areas.sum()), int(prediction_areas.sum())
    scale = (areas_p + 1) * (areas_t + 1)  # exceeds the sum of the area terms of any assignment
    cost = steps.astype(np.float64) * scale - (prediction_areas * np.float64(areas_t + 1) + truth_areas) + scale
    forbidden = (float(cost.max()) + 1.0) * (most + 1)
    if forbidden * most < _EXACT_FLOATS:
        return cost, forbidden
    cost = steps.astype(np.float64)  # areas too large to break ties exactly: distance alone
    return cost, (float(cost.max()) + 1.0) * (most + 1)


@njit(cache=True, nogil=True, inline="always")
def distance_steps(area_t: int, row_t: int, col_t: int, area_p: int, row_p: int, col_p: int, gate_px: int) -> int:
    """Return the centroid distance in steps, or -1 when it is not below the gate; sums of rows and columns as integers."""
    product = area_t * area_p
    if gate_px * product < _EXACT_LIMIT:
        limit = gate_px * product
        across, along = row_p * area_t - row_t * area_p, col_p * area_t - col_t * area_p
        if abs(across) >= limit or abs(along) >= limit:
            return -1
        square = across * across + along * along
        if square >= limit * limit:
            return -1
        return int(np.sqrt(float(square)) / product * STEPS_PER_PX + 0.5)
    d_row, d_col = row_p / area_p - row_t / area_t, col_p / area_p - col_t / area_t
    distance = np.sqrt(d_row * d_row + d_col * d_col)
    return int(distance * STEPS_PER_PX + 0.5) if distance < gate_px else -1


@njit(cache=True, nogil=True)
def _nearest(sums_t: IntArray, sums_p: IntArray, gate_px: int) -> Any:
    """Return the best prediction of each target (-1 for none), all candidate pairs, and whether two share a prediction."""
    num_t, num_p = sums_t.shape[1], sums_p.shape[1]
    partners = np.full(num_t, -1, np.int64)
    wanted = np.zeros(num_p, np.int64)
    edges = np.empty((3, 8), np.int64)
    n = 0
    for t in range(num_t):
        best = -1
        for p in range(num_p):
            steps = distance_steps(sums_t[0, t], sums_t[1, t], sums_t[2, t], sums_p[0, p], sums_p[1, p], sums_p[2, p], gate_px)
            if steps < 0:
                continue
            if n == edges.shape[1]:
                grown = np.empty((3, 2 * n), np.int64)
                grown[:, :n] = edges
                edges = grown
            edges[0, n], edges[1, n], edges[2, n] = t, p, steps
            n += 1
            wanted[p] += 1
            if partners[t] < 0 or steps < best or (steps == best and sums_p[0, p] > sums_p[0, partners[t]]):
                partners[t], best = p, steps
    return partners, edges[:, :n], np.any(wanted > 1)
