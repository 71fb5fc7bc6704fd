"""The usual scoring loop of the field: skimage labels, regionprops and lists, one frame at a time. Run by metrics.py.

python naive_metrics.py FRAMES.npz      prints {"seconds", "iou", "num_matched", "num_truth", "area_unmatched"} as JSON
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from skimage import measure


def main() -> None:
    """Score the frames of a file and print seconds and results."""
    frames = np.load(sys.argv[1])
    probabilities, masks = frames["probabilities"], frames["masks"]
    score_all(probabilities[:2], masks[:2])
    started = time.process_time()
    result = score_all(probabilities, masks)
    print(json.dumps({"seconds": time.process_time() - started} | result))


def score_all(probabilities: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Return IoU, matched targets, targets and unmatched area."""
    total_inter = total_union = num_matched = num_truth = area_unmatched = 0
    for probability, mask in zip(probabilities, masks, strict=True):
        prediction = (probability > 0.5).astype("int64")
        target = mask.astype("int64")
        intersection = prediction * (prediction == target)
        inter, _ = np.histogram(intersection, bins=1, range=(1, 1))
        predicted, _ = np.histogram(prediction, bins=1, range=(1, 1))
        labelled, _ = np.histogram(target, bins=1, range=(1, 1))
        total_inter += inter
        total_union += predicted + labelled - inter
        found = measure.regionprops(measure.label(prediction, connectivity=2))
        truth = measure.regionprops(measure.label(target, connectivity=2))
        num_truth += len(truth)
        for region in truth:
            centre = np.array(region.centroid)
            for m in range(len(found)):
                if np.linalg.norm(np.array(found[m].centroid) - centre) < 3:
                    num_matched += 1
                    del found[m]
                    break
        area_unmatched += sum(region.area for region in found)
    return {
        "iou": float(total_inter[0] / total_union[0]),
        "num_matched": num_matched,
        "num_truth": num_truth,
        "area_unmatched": int(area_unmatched),
    }


if __name__ == "__main__":
    main()
