"""Target scores: Pd, Fa, false objects per frame and hIoU, as ratios.

Pd is matched targets over all targets, one-to-one: an object over two targets detects one. Fa is the area of unmatched
objects over all pixels, which is not the pixel false-positive rate: surplus pixels of a matched object are free, and true
pixels of an object that missed its target count. Nor is it invariant to scale: judge maps at native size.
"""

from __future__ import annotations

import math

import numpy as np

from finetune.metrics.sums import FloatArray, FrameSums, ratio


def target_scores(sums: FrameSums) -> dict[str, FloatArray]:
    """Return the target scores of each weighting, ratios; ``fppi`` is a count a frame.

    Args:
        sums: Sums of ``num_truth``, ``num_matched``, ``num_predicted``, ``area_unmatched`` and ``num_pixels``.
    """
    return {
        "pd": ratio(sums["num_matched"], sums["num_truth"]),
        "fa": ratio(sums["area_unmatched"], sums["num_pixels"]),
        "fppi": ratio(sums["num_predicted"] - sums["num_matched"], sums.num_frames),
    }


def hiou_scores(sums: FrameSums) -> dict[str, FloatArray]:
    """Return hIoU and its factors for each weighting, ratios; NaN without any target and prediction.

    Args:
        sums: Sums of ``num_truth``, ``num_predicted``, ``num_overlapping`` (pairs of OPDC) and ``sum_pair_iou``.
    """
    num_pairs = sums["num_overlapping"]
    num_all = sums["num_truth"] + sums["num_predicted"] - num_pairs
    seg = ratio(sums["sum_pair_iou"], num_pairs, np.where(num_all > 0.0, 0.0, math.nan))
    loc = ratio(num_pairs, num_all)
    return {"seg_iou": seg, "loc_iou": loc, "hiou": seg * loc}
