"""The statistics of the card, each named, with unit and definition once: tables, JSON and plots read them from here.

Definitions are those that reproduce the measured table of the physics notes (section 11); where that table left a choice,
the choice stands here. Goals are those of section 12: reported whatever comes out, never gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synth.targets import SCR_GUARD_PX, SCR_MARGIN_PX

PERCENTILES = (5, 25, 50, 75, 95)
"""Percentiles a statistic is shown by (physics section 11), linear interpolation between order statistics."""
RING_PX = (3, 4)
"""City-block distances of the local ring from its target, first and last. With them 19 of the 20 percentiles of edge level
and peak in physics section 11 come out (the 5 % peak of the NUDT train list reads 37, published 36); no other ring of up
to 12 px, in three metrics, gave more."""
AUC_GOAL = 0.75
"""Goal of the classifiers' AUC (physics section 12); 0.5 cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One line of the card.

    Attributes:
        name: Key in JSON and in a survey's columns.
        label: What a reader sees.
        unit: Unit, or "" for a pure number.
        per: Whether there is one value a frame or one a target.
        definition: How it is computed, one sentence.
        log: Whether its values are shown on a logarithmic axis.
        goal: Largest Kolmogorov-Smirnov distance wanted, or None.
    """

    name: str
    label: str
    unit: str
    per: Literal["frame", "target"]
    definition: str
    log: bool = False
    goal: float | None = None

    @property
    def title(self) -> str:
        """Label with its unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


_RING = f"ring: background pixels at city-block distance {RING_PX[0]}..{RING_PX[1]} px from the target"
_BAND = "0.02..0.25 cycles/px, central square of at most 256 px, symmetric Hann window, mean removed"

STATISTICS = (
    Statistic("targets_per_frame", "targets per frame", "", "frame", "8-connected components of the mask of a labelled frame"),
    Statistic("area_px", "target area", "px", "target", "pixels of the component", log=True, goal=0.1),
    Statistic("area_percent", "target area", "% of frame", "target", "pixels of the component over those of the frame", log=True),
    Statistic("aspect", "bounding-box aspect", "", "target", "longer over shorter side of the bounding box", log=True),
    Statistic(
        "scr", "absolute SCR", "", "target",
        f"|mean of the component - mu_b| / sigma_b, b: bounding box grown by {SCR_MARGIN_PX} px less all masks dilated by "
        f"{SCR_GUARD_PX} px", log=True,
    ),
    Statistic(
        "peak_dn", "peak over local ring", "DN", "target", f"highest level of the component over the ring's median; {_RING}",
    ),
    Statistic(
        "edge_level", "edge level", "of peak", "target",
        "median level of the component's pixels with a 4-neighbour outside it, over the peak, both above the ring's median; "
        f"{_RING}", goal=0.1,
    ),
    Statistic("row_position", "target row", "of height", "target", "row of the centroid (pixels' middles) over the height"),
    Statistic("col_position", "target column", "of width", "target", "column of the centroid over the width"),
    Statistic("mean_dn", "frame mean", "DN", "frame", "mean level"),
    Statistic("std_dn", "frame standard deviation", "DN", "frame", "population standard deviation of the levels", log=True),
    Statistic("kurtosis", "intensity kurtosis", "", "frame", "fourth standardised moment of the levels; Gaussian: 3", log=True),
    Statistic(
        "gradient_kurtosis", "gradient kurtosis", "", "frame", "the same of the differences of horizontal neighbours", log=True,
    ),
    Statistic(
        "noise_dn", "noise sigma (MAD)", "DN", "frame",
        "1.4826 * MAD / 6 of the image convolved with [1 -2 1] x [1 -2 1]; an upper bound where texture is fine",
    ),
    Statistic(
        "psd_slope", "PSD slope", "", "frame",
        f"minus the slope of log mean power over log k in rings floor(N*f) = k, unweighted; {_BAND}", goal=0.15,
    ),
    Statistic(
        "anisotropy_db", "anisotropy", "dB", "frame",
        f"power within 22.5 degrees of the horizontal frequency axis over that of the vertical one; {_BAND}",
    ),
)  # fmt: skip
"""Every statistic, in the order of the card."""

BY_NAME = {statistic.name: statistic for statistic in STATISTICS}

PSD_DEFINITION = (
    "rms over frequency of the difference of the two median log power spectra; "
    + _BAND
    + "; shape: after each curve's mean is removed"
)
KS_DEFINITION = (
    "largest difference of the two empirical distribution functions; chance: what two samples of these sizes from one "
    "distribution exceed in 5 % of cases, were all values independent"
)
W1_DEFINITION = "area between the two empirical distribution functions, in the statistic's unit"
