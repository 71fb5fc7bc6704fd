"""Literal, slow forms of the metrics: sets, lists and permutations, one step after the other, nothing shared with the library.

Canonical scores follow their definition; each legacy mode follows the released code it names, statement by statement, with
scipy's components in place of skimage's (same order) and numpy in place of torch.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
from PIL import Image
from scipy import ndimage

RING = np.ones((3, 3), int)


def components(binary):
    """Return the objects of a map as lists of (row, col), in label order."""
    labels, num = ndimage.label(binary, structure=RING)
    return [[tuple(map(int, pixel)) for pixel in np.argwhere(labels == k + 1)] for k in range(num)]


def centroid(pixels):
    """Return the exact centroid of an object."""
    return Fraction(sum(r for r, _ in pixels), len(pixels)), Fraction(sum(c for _, c in pixels), len(pixels))


def square_distance(a, b):
    """Return the exact squared distance of two centroids."""
    (r0, c0), (r1, c1) = centroid(a), centroid(b)
    return (r0 - r1) ** 2 + (c0 - c1) ** 2


def best_matching(truth, predicted, gate):
    """Return the best matching by brute force: pairs of indices.

    Most pairs, least total distance, largest matched prediction area, largest matched target area.
    """
    near = {
        (t, p): float(square_distance(truth[t], predicted[p])) ** 0.5
        for t in range(len(truth))
        for p in range(len(predicted))
        if square_distance(truth[t], predicted[p]) < gate * gate
    }
    best, best_key = (), (0, 0.0, 0, 0)
    for num in range(1, min(len(truth), len(predicted)) + 1):
        for chosen in combinations(range(len(truth)), num):
            for partners in permutations(range(len(predicted)), num):
                pairs = tuple(zip(chosen, partners, strict=True))
                if all(pair in near for pair in pairs):
                    areas = sum(len(predicted[p]) for _, p in pairs), sum(len(truth[t]) for t, _ in pairs)
                    key = (num, -round(sum(near[pair] for pair in pairs), 4), *areas)
                    if key > best_key:
                        best, best_key = pairs, key
    return best


def canonical(probabilities, masks, threshold=0.5, gate=3):
    """Return the canonical scores of a list of frames, ratios."""
    tp = fp = fn = matched = num_truth = area = pixels = false = 0
    ious, num_pairs, num_all, iou_sum = [], 0, 0, 0.0
    for probability, mask in zip(probabilities, masks, strict=True):
        hit = {tuple(p) for p in np.argwhere(probability > threshold).tolist()}
        real = {tuple(p) for p in np.argwhere(mask).tolist()}
        tp, fp, fn = tp + len(hit & real), fp + len(hit - real), fn + len(real - hit)
        ious.append(len(hit & real) / len(hit | real) if hit | real else 1.0)
        truth, predicted = components(mask), components(probability > threshold)
        pairs = best_matching(truth, predicted, gate)
        matched, num_truth = matched + len(pairs), num_truth + len(truth)
        wrong = [obj for p, obj in enumerate(predicted) if p not in {p for _, p in pairs}]
        area, false, pixels = area + sum(map(len, wrong)), false + len(wrong), pixels + mask.size
        for t, p in strict_pairs(truth, predicted, gate):
            iou_sum += pair_iou(truth[t], predicted[p])
            num_pairs += 1
        num_all += len(truth) + len(predicted)
    seg = iou_sum / num_pairs if num_pairs else 0.0
    return {
        "iou": tp / (tp + fp + fn),
        "niou": sum(ious) / len(ious),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "pd": matched / num_truth,
        "fa": area / pixels,
        "pixel_fa": fp / pixels,
        "fppi": false / len(masks),
        "hiou": seg * num_pairs / (num_all - num_pairs),
    }


def pair_iou(a, b):
    """Return the IoU of two objects."""
    return len({*a} & {*b}) / len({*a} | {*b})


def strict_pairs(truth, predicted, gate):
    """Return the pairs of the strict OPDC: overlaps of at least 0.5 first, then the canonical matching of the rest."""
    good = [(t, p) for t in range(len(truth)) for p in range(len(predicted)) if pair_iou(truth[t], predicted[p]) >= 0.5]
    best = max(
        (
            pairs
            for num in range(len(good) + 1)
            for pairs in combinations(good, num)
            if len({t for t, _ in pairs}) == len({p for _, p in pairs}) == num
        ),
        key=lambda pairs: (len(pairs), sum(pair_iou(truth[t], predicted[p]) for t, p in pairs)),
    )
    rows = [t for t in range(len(truth)) if t not in {t for t, _ in best}]
    cols = [p for p in range(len(predicted)) if p not in {p for _, p in best}]
    rest = best_matching([truth[t] for t in rows], [predicted[p] for p in cols], gate)
    return [*best, *((rows[t], cols[p]) for t, p in rest)]


def histogram_iou(predict, target):
    """Return intersection and union of ``batch_intersection_union``, which all copies share."""
    predict = predict.astype(np.float32)
    intersection = predict * (predict == target).astype(np.float32)
    inter, _ = np.histogram(intersection, bins=1, range=(1, 1))
    pred, _ = np.histogram(predict, bins=1, range=(1, 1))
    lab, _ = np.histogram(target, bins=1, range=(1, 1))
    return int(inter[0]), int(pred[0] + lab[0] - inter[0])


def greedy(predicted, truth):
    """Return number of matches, areas of the matched, and the unmatched objects, in the loop that all copies share."""
    num, matched_areas, left = 0, [], list(predicted)
    for target in truth:
        centre = np.array([np.mean([r for r, _ in target]), np.mean([c for _, c in target])])
        for m in range(len(left)):
            other = np.array([np.mean([r for r, _ in left[m]]), np.mean([c for _, c in left[m]])])
            if np.linalg.norm(other - centre) < 3:
                num += 1
                matched_areas.append(len(left[m]))
                del left[m]
                break
    return num, matched_areas, left


def squash(values, side, method):
    """Resize a float map as the loaders do."""
    return np.asarray(Image.fromarray(values).resize((side, side), method))


def legacy(mode, probabilities, masks):
    """Return iou, niou, recall, pd and fa as the named code computes them on logits of +-1.

    Args:
        mode: Name of the mode.
        probabilities: float32 maps at native size.
        masks: uint8 masks.
    """
    inter = union = correct = labelled = found = targets = false = pixels = 0
    samplewise = []
    for probability, mask in zip(probabilities, masks, strict=True):
        p, m = probability, mask
        if mode == "dnanet256" and p.shape != (256, 256):
            p, m = squash(p, 256, Image.Resampling.BILINEAR), squash(m, 256, Image.Resampling.NEAREST)
        if mode == "irsam" and not (p.shape[0] == p.shape[1] and p.shape[0] in (512, 384, 256)):
            p, m = squash(p, 512, Image.Resampling.BILINEAR), squash(m, 512, Image.Resampling.NEAREST)
        logits = np.where(p > 0.5, 1.0, -1.0)
        labels = m.astype(np.float32) / 255.0
        target = labels.astype("int64") if mode == "irsam" else labels
        i, u = histogram_iou(logits > 0, target)
        inter, union = inter + i, union + u
        samplewise.append(i / (np.spacing(1) + u))
        predict = (logits > 0).astype(np.float32)
        correct += ((predict == labels) * (labels > 0)).sum()
        labelled += (labels > 0).sum()
        predicted, truth = components(logits > 0), components(labels.astype("int64"))
        num, matched_areas, left = greedy(predicted, truth)
        found, targets = found + num, targets + len(truth)
        if mode == "basicirstd":
            false += sum(map(len, left))
            pixels += p.shape[0] * p.shape[1]
        else:
            false += sum(x for x in map(len, predicted) if x not in matched_areas)
    denominator = {"dnanet256": 256 * 256, "irsam": 512 * 512, "simir": p.shape[0] * p.shape[1]}
    return {
        "iou": 1.0 * inter / (np.spacing(1) + union),
        "niou": float(np.mean(samplewise)),
        "recall": correct / (np.spacing(1) + labelled),
        "pd": found / targets,
        "fa": false / (pixels if mode == "basicirstd" else denominator[mode] * len(masks)),
    }
