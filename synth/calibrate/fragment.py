"""The outcome as a recipe fragment: the source section, what stands behind each number, and what the frames cannot tell."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.calibrate.evidence import Evidence
from synth.calibrate.floor import LEAST_SIGMA_DN
from synth.calibrate.measures import TABLE_PERCENTS, Measured
from synth.calibrate.tables import FOLLOWERS, Follower, map_values, value_at

FloatArray = npt.NDArray[np.float64]

FORMAT = "sirst-foundry-calibration-1"

MEANINGS = {
    "noise_dn": "noise floor of a frame, grey levels, rounding taken out (table)",
    "stripes": "row and column stripes over the noise floor, median of frames with a noise floor >= 0.3",
    "stripes_dn": "row and column stripes, grey levels, median of frames",
    "levels_share": "share of the grey levels between the tails that a frame uses (table)",
    "blur_px": "width of compact targets as an optical sigma, px: decile by decile an upper bound of the blur (table)",
    "clutter_slope": "exponent of the power spectral density before that blur and above the noise, median of frames",
    "span_dn": "grey levels between the 0.5 % tails of a frame (table)",
    "low_dn": "level of the lower 0.5 % tail (table)",
    "mean_dn": "mean level of a frame (table)",
    "std_dn": "standard deviation of a frame, grey levels (table)",
    "psd_slope": "slope of the radial power spectrum as the census takes it (table)",
    "counts": "share of frames without targets; of the others, shares with one and with two",
    "compact_share": "share of targets that a Gaussian fits to 12 % of its amplitude",
    "dark_share": "share of targets darker than their surroundings",
    "compact_area_px": "area of compact targets, px (table)",
    "body_area_px": "area of the other targets, px (table)",
    "compact_aspect": "bounding-box aspect of compact targets (table)",
    "edge_level": "level at the mask's edge over the peak (table)",
    "peak_dn": "peak over the local ring, grey levels (table)",
    "scr": "absolute signal-to-clutter ratio (table)",
    "area_px": "area of all targets, px (table)",
}
"""Measure -> what it is; a table holds the 1, 10, 20, ..., 90 and 99 % percentiles."""

_SHAPE_FOLLOWERS = (
    Follower("targets.sigma_total_px", "compact_area_px", (0.35, 5.0), 0.0, 0.5),  # an area grows as a width squared
    Follower("targets.aspect", "compact_aspect", (1.0, 4.0), None, 1.0),
    Follower("targets.half_length_px", "body_area_px", (1.0, 16.0), 0.0, 0.5),
    Follower("targets.mask_threshold", "edge_level", (0.05, 0.95), None, 1.0),
)

NEVER_IDENTIFIED = (
    "NETD in mK, gain in electrons, full well, bits of the converter: 8-bit frames carry no temperature; netd_mk and "
    "gain_dn_per_k are nominal and fix no more than the noise beside the painted contrast",
    "temporal apart from fixed noise, bad pixels, time constant: they need sequences of one camera",
    "blur apart from the extent of targets, and blur apart from the clutter's exponent: targets bound the blur from above, "
    "the median spectrum fixes the two together",
    "gain control, denoising, resampling and coding one by one: only what they leave behind together",
    "background classes: regimes are the mix of painters that looks most alike, not a recognition of what frames show",
    "range, radiant intensity and target temperature",
)


def as_fragment(source: Mapping[str, Any], evidence: Evidence, measured: Mapping[str, Measured], seed: int) -> dict[str, Any]:
    """Return the fragment: ``source`` for the recipe, ``calibration`` for the reader.

    Args:
        source: What was fitted.
        evidence: What was read.
        measured: Its measures.
        seed: Seed of every draw.

    Returns:
        Strings, numbers, None, lists and dictionaries of these.
    """
    survey = evidence.survey
    digest = digest_of(evidence)
    frames = {
        "set": survey.name, "about": survey.about, "split": survey.split, "num_frames": len(survey),
        "num_labelled": survey.num_labelled, "num_targets": survey.num_targets, "sha256": digest,
    }  # fmt: skip
    record = f"{survey.name} ({survey.about}), {len(survey)} frames, sha256 {digest[:16]}, seed {seed}"
    return {
        "source": {"calibrated_on": record[:300], **source},
        "calibration": {
            "format": FORMAT,
            "frames": frames,
            "seed": seed,
            "table_percents": list(TABLE_PERCENTS),
            "intervals": "95 %, bootstrap over groups of linked frames and near duplicates; null where there is one group",
            "measured": {name: _entry(name, number) for name, number in measured.items()},
            "parameter_intervals": parameter_intervals(source, measured),
            "not_identified": not_identified(measured),
        },
    }  # fmt: skip


def digest_of(evidence: Evidence) -> str:
    """Return the sha256 over the decoded pixels of all frames in order of their ids."""
    pixels = [link for links in evidence.survey.links for link in links if link.startswith("pixels:")]
    return hashlib.sha256("\n".join(pixels).encode()).hexdigest()


def parameter_intervals(source: Mapping[str, Any], measured: Mapping[str, Measured]) -> dict[str, dict[str, list[float]]]:
    """Return dotted key -> low and high of every law: the interval of the number it follows, to first order."""
    intervals = {}
    for follower in (*FOLLOWERS, *_SHAPE_FOLLOWERS):
        law, number = value_at(source, follower.key), measured.get(follower.follows)
        if law is not None and number is not None and np.isfinite(number.low).all():
            low, high = follower.interval(np.array(law), number)
            intervals[follower.key] = {"low": _rounded(low), "high": _rounded(high)}
    return intervals


def not_identified(measured: Mapping[str, Measured]) -> list[str]:
    """Say what the frames do not tell, in sentences."""
    lines = list(NEVER_IDENTIFIED)
    if "area_px" not in measured:
        lines.append(
            "number, size, aspect, edge and strength of targets, and the blur: no mask holds a target; the recipe's own values "
            "stay, the blur is a preset's"
        )
    if "noise_dn" not in measured:
        lines.append("noise: no frame has four unclipped blocks of 16 px")
    elif measured["noise_dn"].value[len(TABLE_PERCENTS) // 2] < LEAST_SIGMA_DN:
        lines.append(
            f"noise of at least half of the frames: below {LEAST_SIGMA_DN} grey levels, where rounding is all there is (denoised)"
        )
    if "stripes" not in measured:
        lines.append("stripes: no frame has noise enough to hold them against")
    if "psd_slope" not in measured:
        lines.append("spectra and background mix: frames are flat or smaller than 32 px")
    return lines


def _entry(name: str, number: Measured) -> dict[str, Any]:
    return {
        "meaning": MEANINGS[name], "num": number.num, "value": _rounded(number.value),
        "low": _rounded(number.low), "high": _rounded(number.high),
    }  # fmt: skip


def _rounded(values: FloatArray) -> list[Any]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in map_values(values, float)]
