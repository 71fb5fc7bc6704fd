"""The usual scoring loops of the field: skimage labels, regionprops and lists, one frame at a time. Run by metrics.py.

``usual`` does what the released evaluations do with their three metric objects (pooled IoU with pixAcc, samplewise nIoU,
Pd and Fa), as in IRSAM's evaluate; ``lean`` leaves out everything that is done twice or thrown away.

    python naive_metrics.py FRAMES.npz      prints seconds and results of both as JSON
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
    results = {}
    for name, score_all in (("lean", score_lean), ("usual", score_usual)):
        score_all(probabilities[:2], masks[:2])
        started = time.process_time()
        result = score_all(probabilities, masks)
        results[name] = {"seconds": time.process_time() - started} | result
    print(json.dumps(results))


def score_lean(probabilities: np.ndarray, masks: np.ndarray) -> dict[str, float]:
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


def areas_of(prediction: np.ndarray, target: np.ndarray) -> tuple[int, int]:
    """Return intersection and union as every released copy computes them."""
    intersection = prediction * (prediction == target)
    inter, _ = np.histogram(intersection, bins=1, range=(1, 1))
    predicted, _ = np.histogram(prediction, bins=1, range=(1, 1))
    labelled, _ = np.histogram(target, bins=1, range=(1, 1))
    return int(inter[0]), int(predicted[0] + labelled[0] - inter[0])


def score_usual(probabilities: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Return IoU, nIoU, matched targets, targets and unmatched area."""
    total_inter = total_union = total_correct = total_labelled = num_matched = num_truth = area_unmatched = 0
    samplewise = []
    for probability, mask in zip(probabilities, masks, strict=True):
        target = mask.astype("int64")
        prediction = (probability > 0.5).astype("int64")  # pooled IoU and pixAcc
        total_correct += np.sum((prediction == target) * (target > 0))
        total_labelled += np.sum(target > 0)
        inter, union = areas_of(prediction, target)
        total_inter, total_union = total_inter + inter, total_union + union
        prediction = (probability > 0.5).astype("int64")  # samplewise nIoU
        inter, union = areas_of(prediction, target)
        samplewise.append(inter / (np.spacing(1) + union))
        prediction = (probability > 0.5).astype("int64")  # Pd and Fa
        found = measure.regionprops(measure.label(prediction, connectivity=2))
        truth = measure.regionprops(measure.label(target, connectivity=2))
        num_truth += len(truth)
        areas = [np.array(region.area) for region in found]
        true_map = np.zeros(prediction.shape)
        for region in truth:
            centre = np.array(list(region.centroid))
            for m in range(len(found)):
                if np.linalg.norm(np.array(list(found[m].centroid)) - centre) < 3:
                    num_matched += 1
                    true_map[found[m].coords[:, 0], found[m].coords[:, 1]] = 1
                    del found[m]
                    break
        area_unmatched += int((prediction - true_map).sum()) if areas else 0
    return {
        "iou": total_inter / total_union,
        "niou": float(np.mean(samplewise)),
        "recall": float(total_correct / total_labelled),
        "num_matched": num_matched,
        "num_truth": num_truth,
        "area_unmatched": area_unmatched,
    }


if __name__ == "__main__":
    main()
