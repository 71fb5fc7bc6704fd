"""Pixel scores: pooled IoU, nIoU, precision, recall, F1 and the pixel false-positive rate, as ratios.

Foreground only. nIoU is the mean over frames of TP / (TP + FP + FN), where a frame without target and without prediction
scores 1 (every published copy says 0) and one with a prediction but no target 0. F1 has beta^2 = 1 (PyIRSTDMetrics defaults
to 0.3, a habit of salient-object work). "mIoU" and "pixAcc" of the literature are ``iou`` and ``recall``.
"""

from __future__ import annotations

import math

import numpy as np

from finetune.metrics.sums import FloatArray, FrameSums, ratio


def pixel_columns(tp: FloatArray, fp: FloatArray, fn: FloatArray) -> dict[str, FloatArray]:
    """Return the columns that :func:`pixel_scores` needs.

    Args:
        tp: True positive pixels of each frame, float64 (N,).
        fp: False positive pixels.
        fn: False negative pixels.
    """
    union = tp + fp + fn
    is_positive = (tp + fn > 0.0).astype(np.float64)
    niou = ratio(tp, union, 1.0)
    return {"tp": tp, "fp": fp, "fn": fn, "niou": niou, "niou_pos": niou * is_positive, "is_positive": is_positive}


def pixel_scores(sums: FrameSums) -> dict[str, FloatArray]:
    """Return the pixel scores of each weighting, ratios; NaN where undefined (no target and no prediction).

    Args:
        sums: Sums of :func:`pixel_columns` and of ``num_pixels``.
    """
    tp, fp, fn = sums["tp"], sums["fp"], sums["fn"]
    return {
        "iou": ratio(tp, tp + fp + fn),
        "niou": ratio(sums["niou"], sums.num_frames),
        "niou_pos": ratio(sums["niou_pos"], sums["is_positive"]),
        "precision": ratio(tp, tp + fp, np.where(fn > 0.0, 0.0, math.nan)),
        "recall": ratio(tp, tp + fn),
        "f1": ratio(2.0 * tp, 2.0 * tp + fp + fn),
        "pixel_fa": ratio(fp, sums["num_pixels"]),
    }
