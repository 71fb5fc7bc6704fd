"""The fast filters equal their formulas, taken pixel by pixel, on random frames with every kind of border and black zones."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from finetune import create_classical  # noqa: E402
from tests.parity import literal_filters as literal  # noqa: E402

CASES = {
    "tophat": ({}, lambda grey: literal.tophat(grey, 5), 0.0),
    "tophat 9": ({"side_px": 9}, lambda grey: literal.tophat(grey, 9), 0.0),
    "maxmedian": ({}, literal.maxmedian, 0.0),
    "tllcm": ({}, literal.tllcm, 1e-10),
    "wslcm": ({}, lambda grey: literal.wslcm(grey, True), 1e-10),
    "wslcm plain": ({"prefilter": False}, lambda grey: literal.wslcm(grey, False), 1e-10),
}
"""Name -> settings, literal form, tolerance relative to the highest response of the frame.

Worst seen: 0 for the first three, 4e-16 and 2e-15 for the contrasts, which add and divide in another order. A cell shifted by one
pixel, another border or one pixel more among the nine moves responses by 1e-3 and more.
"""


def frames(kind):
    """Return grey levels: blobs on a slope, so that responses have realistic sizes, or noise; (48, 64) and smaller."""
    rng = np.random.default_rng(5)
    if kind == "noise":
        return rng.integers(0, 256, (48, 64)).astype(float)
    rows, cols = np.mgrid[:48, :64]
    grey = 60.0 + cols + rng.integers(0, 9, (48, 64))
    for row, col in ((3, 3), (20, 40), (47, 63), (30, 12)):
        grey += np.round(90 * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 3.0))
    if kind == "black":  # with a target in the zone of level 0, where the released codes divide by 0
        grey[:, 24:] = 0
        grey[22:25, 50:53] = [[90, 120, 90], [120, 200, 120], [90, 120, 90]]
    elif kind == "fractions":
        grey = 0.91 * grey[24:, :31]
    elif kind == "tiny":
        grey = grey[:5, :4]
    return np.clip(grey, 0, 255)


SILENT = {("tllcm", "noise"), ("wslcm plain", "noise")}
"""Where the answer is 0: nine pixels of each cell outshine any core."""


@pytest.mark.parametrize("kind", ["noise", "smooth", "black", "fractions", "tiny"])
@pytest.mark.parametrize("name", CASES)
def test_equals_literal_form(name, kind):
    settings, form, tolerance = CASES[name]
    grey = frames(kind)
    got = create_classical(name.split()[0], **settings)(torch.from_numpy(grey / 255)[None, None])[0, 0].numpy()
    expected = form(grey)
    assert expected.max() > 1 or (name, kind) in SILENT
    assert np.abs(got - expected).max() <= tolerance * max(expected.max(), 1)
