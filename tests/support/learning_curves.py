"""Learning curves with a known truth, as facts about them were simulated: seeds scatter more where frames are few."""

from __future__ import annotations

import numpy as np

from pipelines.scale_laws import Floats, LearningCurve

SIZES = np.array([8.0, 17.0, 34.0, 85.0, 170.0, 256.0])
LABEL_RATIO = 3.0


def true_error(sizes: Floats | float) -> Floats:
    """Law P3 with c .25, a 1.2, b .35."""
    return np.asarray(0.25 + 1.2 * np.asarray(sizes, np.float64) ** -0.35)


def drawn_curve(rng: np.random.Generator, num_replicates: int, *, worth: float = 1.0) -> LearningCurve:
    """Return a curve whose start is worth ``worth`` times the labels; seeds scatter by .01 + .12 / sqrt(size)."""
    spread = 0.01 + 0.12 / np.sqrt(SIZES)
    noise = spread[:, None] * rng.standard_normal((len(SIZES), num_replicates))
    return LearningCurve(SIZES, (true_error(worth * SIZES)[:, None] + noise).clip(0.01, 1.0))


def covered(rng: np.random.Generator, num_replicates: int) -> tuple[bool, bool | None]:
    """Draw once; tell whether the intervals of held-out prediction and label ratio hold the truth (None: no interval)."""
    from pipelines.scale_labels import label_ratio
    from pipelines.scale_laws import predict

    scratch, better = drawn_curve(rng, num_replicates), drawn_curve(rng, num_replicates, worth=LABEL_RATIO)
    found = predict("P3", scratch.up_to(len(SIZES) - 1), SIZES[-1])
    interval = label_ratio(better, scratch, 34.0).interval
    hits_ratio = None if interval is None else interval.low <= LABEL_RATIO <= interval.high
    return bool(found.low <= true_error(SIZES[-1]) <= found.high), hits_ratio
