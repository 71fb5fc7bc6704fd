"""Slow literal forms of what ``synth`` computes fast, written from the formulas alone; nothing here imports ``synth``."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

EIGHT = np.ones((3, 3))


def accepted_places(frames, masks, *, side, stride, var_max=50.0, mean_max=np.inf, seq_max=50.0, released_grid=False):
    """Return (row, col, means, variances) of the accepted windows, one window and one frame at a time."""
    height, width = frames[0].shape
    stop = 0 if released_grid else 1  # released: range(0, H - s, stride)
    places = []
    for row in range(0, height - side + stop, stride):
        for col in range(0, width - side + stop, stride):
            cut = slice(row, row + side), slice(col, col + side)
            means, variances = [], []
            for frame, mask in zip(frames, masks, strict=True):
                values = frame[cut].astype(np.float64)
                means.append(values.mean())
                variances.append(((values - values.mean()) ** 2).mean())
                if not 0 < variances[-1] < var_max or not 0 < means[-1] < mean_max or (mask is not None and mask[cut].any()):
                    break
            else:
                if np.var(means) <= seq_max and np.var(variances) <= seq_max:
                    places.append((row, col, means, variances))
    return places


def mixed_levels(image, max_level, window, alpha, top):
    """Return ``alpha * N + (1 - alpha) * I`` in float64 levels of 0..top before rounding, N stretched by Pillow."""
    height, width = image.shape
    stretched = Image.fromarray(window.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    noise = np.asarray(stretched, dtype=np.float64) / 255.0
    mixed = alpha * noise + (1.0 - alpha) * image.astype(np.float64) / max_level
    return np.clip(mixed, 0.0, 1.0) * top


def prepared_window(window, dc, detrend, gain):
    """Return mean (if kept) plus gain times the fluctuation of a window, by least squares or by 25 sums."""
    values = window.astype(np.float64)
    side = len(values)
    if detrend == "plane":
        rows, cols = np.indices(values.shape)
        design = np.column_stack([np.ones(side * side), rows.ravel(), cols.ravel()])
        left = values - (design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]).reshape(side, side)
    elif detrend == "local_mean":
        padded = np.pad(values, 2, mode="symmetric")
        left = values - sum(padded[i : i + side, j : j + side] for i in range(5) for j in range(5)) / 25
    else:
        left = values
    return (values.mean() if dc == "keep" else 0.0) + gain * (left - left.mean())


def released_mix(image, window, alpha):
    """Return the 8-bit picture of the released script: the window is stretched in 8 bit, the mixture rounded once more."""
    height, width = image.shape
    noise = np.asarray(Image.fromarray(window).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64) / 255.0
    return np.round(255.0 * np.clip(alpha * noise + (1.0 - alpha) * image / 255.0, 0.0, 1.0)).astype(np.uint8)


def measured_targets(levels, mask, max_level, valid_hw, *, margin=20, guard=3, least=50):
    """Return rows (row, col, area, peak contrast, flux, SCR), contrast in 8-bit grey levels."""
    labels, num = ndimage.label(mask, EIGHT)
    dilated = ndimage.binary_dilation(mask, EIGHT, iterations=guard)
    native, to_grey = levels.astype(np.float64), 255.0 / max_level
    valid = np.zeros(mask.shape, bool)
    valid[: valid_hw[0], : valid_hw[1]] = True
    table = []
    for label in range(1, num + 1):
        inside = labels == label
        rows, cols = np.nonzero(inside)
        near = np.zeros(mask.shape, bool)
        top, left = max(rows.min() - margin, 0), max(cols.min() - margin, 0)
        near[top : rows.max() + margin + 1, left : cols.max() + margin + 1] = True
        around = native[near & valid & ~dilated]
        mean, sigma = (around.mean(), around.std() * to_grey) if len(around) >= least else (np.nan, np.nan)
        if max_level == 255:
            sigma = np.maximum(sigma, 0.5)
        contrast, peak = (native[inside].mean() - mean) * to_grey, (native[inside].max() - mean) * to_grey
        scr = contrast / sigma if sigma > 0 else np.nan
        table.append((rows.mean(), cols.mean(), inside.sum(), peak, contrast * inside.sum(), scr))
    return np.array(table, dtype=np.float64).reshape(num, 6)


def released_box(centre, side, size):
    """Return the first pixel of a released patch along one axis of a 256-px image; the margins are those of the scripts."""
    half, margin = {2: (1, 1), 4: (2, 2), 6: (3, 3), 8: (4, 8), 32: (16, 32)}[side]
    if margin <= centre <= size - margin:
        return centre - half
    return 0 if centre < margin else size - side


def rotated_by_pillow(array, box_rc, side, quarter_turns):
    """Return a copy in which Pillow turned one square counter-clockwise."""
    row, col = box_rc
    image = Image.fromarray(array)
    patch = image.crop((col, row, col + side, row + side)).rotate(90 * quarter_turns)
    image.paste(patch, (col, row))
    return np.array(image)
