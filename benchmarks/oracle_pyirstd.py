"""PyIRSTDMetrics on a file of frames. Run by oracle_metrics.py in an environment of its own (it needs numpy < 2).

python oracle_pyirstd.py FRAMES.npz      prints pooled results, and counts of every frame, as JSON
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import numpy as np
import py_irstd_metrics as oracle


def main() -> None:
    """Score the frames of a file with the package."""
    frames = np.load(sys.argv[1])
    num = len(frames.files) // 2
    handlers = {
        "iou": oracle.IoUHandler(with_dynamic=False, with_binary=True, sample_based=False),
        "niou": oracle.IoUHandler(with_dynamic=False, with_binary=True, sample_based=True),
        "f1": oracle.FmeasureHandler(with_dynamic=False, with_binary=True, sample_based=False, beta=1),
        "precision": oracle.PrecisionHandler(with_dynamic=False, with_binary=True, sample_based=False),
        "recall": oracle.RecallHandler(with_dynamic=False, with_binary=True, sample_based=False),
    }
    pixels = oracle.CMMetrics(num_bins=10, threshold=0.5, metric_handlers=handlers)
    greedy = oracle.ProbabilityDetectionAndFalseAlarmRate(num_bins=1, distance_threshold=3)
    pooled = oracle.MatchingBasedMetrics(num_bins=1)
    rows = []
    for index in range(num):
        probability, mask = frames[f"p{index}"].astype(np.float64), frames[f"m{index}"]
        pixels.update(probability, mask)
        greedy.update(probability, mask)
        pooled.update(probability, mask)
        single = oracle.MatchingBasedMetrics(num_bins=1)
        single.update(probability, mask)
        rows.append([int(single.tp_objs[0]), int(single.fp_objs[0]), int(single.fn_objs[0]), float(single.tp_ious[0])])
    found = {name: float(value["binary"]) for name, value in pixels.get().items()}
    pd_fa, matched = greedy.get(), pooled.get()
    found |= {"pd": float(pd_fa["probability_detection"][0]), "fa": float(pd_fa["false_alarm"][0])}
    found |= {"hiou": float(matched["hiou"][0])}
    versions = {name: version(name) for name in ("pyirstdmetrics", "numpy", "scikit-image")}
    print(json.dumps({"pooled": found, "frames": rows, "versions": versions}))


if __name__ == "__main__":
    main()
