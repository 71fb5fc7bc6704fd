"""From measures of real frames to a scene source: what is read off directly, then what rendering decides.

Direct: blur, stripes, counts, target laws, and a first guess of the gain control. Then frames are rendered from the source
as it stands, read like the real ones, and background mix, clutter exponent and the laws of :data:`synth.calibrate.tables.
FOLLOWERS` are moved until both read alike (indirect inference).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.calibrate.evidence import Evidence, gather_evidence
from synth.calibrate.floor import LEAST_SIGMA_DN
from synth.calibrate.measures import TABLE_PERCENTS, Measured, measure
from synth.calibrate.mixture import frame_features, match_mixture
from synth.calibrate.shapes import as_lists, match_shapes
from synth.calibrate.tables import follow, four_digits
from synth.census.sources import FrameSet, SourceFrame
from synth.census.survey import survey_frames
from synth.sample import Frame
from synth.scene.backdrops import BACKDROP_WEIGHTS
from synth.scene.config import SceneConfig, most_ratio
from synth.scene.frame import SceneRenderer
from synth.scene.sensor_config import SensorConfig

FloatArray = npt.NDArray[np.float64]

NUM_RENDERED = 240
"""Frames rendered in a round: 6 % of a decile's place (our choice)."""
NUM_OF_CLASS = 60
"""Frames rendered of each background class (our choice)."""
NUM_ROUNDS = 9
MIX_ROUNDS = (1, 4)
"""Rounds in which background mix and target laws are matched anew, blur and noise having changed."""
NUM_STEPS = 1 + NUM_ROUNDS + len(MIX_ROUNDS)
"""Steps that :func:`fit_source` tells of, at most."""
_STEP = 0.5
_TILT_BOUND = 0.75
"""Most the clutter's exponent is moved. Our choice on the card of SIRST v1 trainval, where 0.6 left a slope KS of 0.16 and
0.75 leaves 0.14; the looks suffer towards either end: clouds fall to dust or melt."""
_NOMINAL_QUALITY = [50.0, 85.0, 95.0, 100.0]
"""Quantiles of the block codec's quality. Assumption: published frames went through JPEG or video, how strongly is not
identified; kept, of the laws tried, on the card of SIRST v1 trainval (linear AUC 0.82 in the fit before there was a codec,
0.78 in those since, the bound above having moved as well)."""
_BLUR_BOUNDS = (0.25, 2.0)
"""Sharpest and widest blur of a sensor that is fitted, px (our choice): from hardly any to the widest quarter of targets."""
_MEDIAN = len(TABLE_PERCENTS) // 2
_RANGE = {"gain_dn_per_k": 400.0, "adc_bits": 16, "offset_dn": 24000.0}
"""Span of the nominal raw levels: 164 K like the presets', at a quarter of their step, for published frames are smooth."""
_NETD_BOUNDS_MK = (5.0, 80.0)
"""From the least noise a raw frame may carry at 400 levels/K (:data:`synth.scene.sensor_config.LEAST_NOISE_DN`)."""
_FIRST_NETD_MK, _FIRST_BLUR_PX = 10.0, (0.35, 0.9)
_WIDE_RATIOS = (0.05, 1000.0)
"""Bounds of the ratios that peaks may come to: none is left out."""
_LEAST_FRAMES_FOR_MIX = 5

Step = Callable[[str], None]


def fit_source(
    evidence: Evidence, measured: Mapping[str, Measured], *, seed: int, on_step: Step = lambda what: None
) -> dict[str, Any]:
    """Fit the ``source`` section of a recipe.

    Args:
        evidence: What was read of the real frames.
        measured: Its measures.
        seed: Seed of every draw.
        on_step: Called with a phrase before each step.

    Returns:
        Keys of :class:`synth.scene.config.SceneConfig`; without masks none of targets and ratios.
    """
    on_step("target laws")
    source = first_guess(evidence, measured, seed)
    real = frame_features(evidence.survey)
    for number in range(NUM_ROUNDS):
        if number in MIX_ROUNDS and len(real) >= _LEAST_FRAMES_FOR_MIX:
            on_step(f"background mix, round {number + 1}")
            source["regimes"] = _mix(source, real, seed)
        if number in MIX_ROUNDS and "area_px" in measured:
            laws = match_shapes(measured, np.array(source["sensor"]["sigma_optics_px"]), seed)
            source["targets"] = source["targets"] | as_lists(laws)
        on_step(f"rendered frames, round {number + 1} of {NUM_ROUNDS}")
        rendered = measure(render_evidence(source, NUM_RENDERED, seed))
        source = follow(source, measured, rendered)
        if "psd_slope" in measured and "psd_slope" in rendered:
            source = _as_steep(source, measured, rendered)
        if "noise_dn" in measured and "noise_dn" in rendered:
            source = _as_noisy(source, measured["noise_dn"].value, rendered["noise_dn"])
        source = _within_rails(_as_striped(source, measured["stripes_dn"].value, rendered["stripes_dn"]))
    return source


def _as_steep(source: dict[str, Any], measured: Mapping[str, Measured], rendered: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Return a source whose blur stays below the widths of targets, and whose clutter makes up for what the blur cannot do."""
    blur = np.array(source["sensor"]["sigma_optics_px"])
    most = measured["blur_px"].value if "blur_px" in measured else np.full(len(blur), _BLUR_BOUNDS[1])
    miss = measured["psd_slope"].value - rendered["psd_slope"]
    is_stuck = ((blur <= _BLUR_BOUNDS[0]) & (miss < 0.0)) | ((blur >= most) & (miss > 0.0))
    tilt = float(np.clip(source["clutter_tilt"] + _STEP * np.where(is_stuck, miss, 0.0).mean(), -_TILT_BOUND, _TILT_BOUND))
    sensor = source["sensor"] | {"sigma_optics_px": four_digits(np.sort(np.clip(blur, _BLUR_BOUNDS[0], most)))}
    return source | {"sensor": sensor, "clutter_tilt": round(tilt, 3)}


def _as_noisy(source: dict[str, Any], wanted: FloatArray, rendered: FloatArray) -> dict[str, Any]:
    """Return a source whose noise against its contrast is moved by what the upper half of the noise floors misses."""
    want, got = (float(values[_MEDIAN:-1].mean()) + 0.1 for values in (wanted, rendered))
    netd = float(np.clip(source["sensor"]["netd_mk"] * (want / got) ** _STEP, *_NETD_BOUNDS_MK))
    return source | {"sensor": source["sensor"] | {"netd_mk": round(netd, 2)}}


def _as_striped(source: dict[str, Any], wanted: FloatArray, rendered: FloatArray) -> dict[str, Any]:
    """Return a source whose fixed row and column patterns are moved by what the stripes miss."""
    noise = source["sensor"]["noise"]
    moved = {
        name: round(float(np.clip(max(noise[name], 0.05) * ((want + 0.02) / (got + 0.02)) ** _STEP, 0.0, 3.0)), 3)
        for name, want, got in zip(("v", "h"), wanted, rendered, strict=True)
    }
    return source | {"sensor": source["sensor"] | {"noise": noise | moved}}


def _within_rails(source: dict[str, Any]) -> dict[str, Any]:
    """Return a source whose ratios its sensor can carry."""
    if "scr" not in source:
        return source
    most = most_ratio(SensorConfig.model_validate(source["sensor"]), dark=source["targets"]["dark_share"] == 1.0)
    return source | {"scr": source["scr"] | {"high": min(_WIDE_RATIOS[1], float(int(most)))}}


def first_guess(evidence: Evidence, measured: Mapping[str, Measured], seed: int) -> dict[str, Any]:
    """Return what can be read off without rendering frames."""
    span = measured["span_dn"].value
    most = measured["blur_px"].value if "blur_px" in measured else np.full(len(span), _BLUR_BOUNDS[1])
    blur = np.sort(np.clip(np.linspace(*_FIRST_BLUR_PX, len(span)), _BLUR_BOUNDS[0], most))
    rows, columns = measured["stripes"].value if "stripes" in measured else (0.0, 0.0)
    noise = dict.fromkeys(("vh", "t", "tv", "th"), 0.0) | {"v": _ratio(rows), "h": _ratio(columns)}
    low = measured["low_dn"].value
    noise_dn = measured["noise_dn"].value if "noise_dn" in measured else np.full(len(span), LEAST_SIGMA_DN)
    free = np.maximum(255.0 - span[::-1], 1.0)  # dark levels go with wide spans
    agc = {
        "kind": "linear",
        "span_dn": four_digits(np.clip(span, 2.0, 255.0)),
        "lift": four_digits(np.sort(np.clip(low / free, 0.0, 1.0))),
        "max_noise_dn": four_digits(np.clip(noise_dn, LEAST_SIGMA_DN, 30.0)),
    }
    sensor = {
        "name": "calibrated", "frame_hw": [512, 512], "sigma_optics_px": four_digits(blur), "netd_mk": _FIRST_NETD_MK, **_RANGE,
        "noise": noise, "agc": agc, "levels_share": four_digits(measured["levels_share"].value), "jpeg_quality": _NOMINAL_QUALITY,
    }  # fmt: skip
    has_sequences = any(link.startswith("sequence:") for links in evidence.survey.links for link in links)
    source: dict[str, Any] = {
        "kind": "scenes", "sensor": sensor, "regimes": dict(BACKDROP_WEIGHTS), "clutter_tilt": 0.0, "textures": "own",
        "frames_per_camera": 64 if has_sequences else 1,
    }  # fmt: skip
    return source | _targets(measured, blur, seed)


def render_evidence(source: Mapping[str, Any], num_frames: int, seed: int) -> Evidence:
    """Render frames of a source and read them as real ones are read."""
    return gather_evidence(_rendered(source, num_frames, seed))


def _targets(measured: Mapping[str, Measured], blur: FloatArray, seed: int) -> dict[str, Any]:
    if "area_px" not in measured:
        empty = measured["counts"].value[0] if "counts" in measured else None
        return {} if empty is None else {"targets": {"empty_share": 1.0}}
    empty, one, two = (round(float(value), 4) for value in measured["counts"].value)
    compact = round(float(measured["compact_share"].value[0]), 4)
    ratios = measured["scr"].value if "scr" in measured else np.geomspace(1.0, 20.0, 11)
    return {
        "targets": {
            "empty_share": empty, "one_share": one, "two_share": min(two, round(1.0 - one, 4)),
            "levels": {"point": 0.0, "blob": compact, "extended": round(1.0 - compact, 4), "group": 0.0},
            "dark_share": round(float(measured["dark_share"].value[0]), 4),
            **as_lists(match_shapes(measured, blur, seed)),
        },
        "scr": {
            "mode": "expected", "low": _WIDE_RATIOS[0], "high": _WIDE_RATIOS[1], "law": "view_peak",
            "view_peak_dn": four_digits(np.clip(measured["peak_dn"].value, 2.0, 230.0)),
        },
        "impostors": {"scr": four_digits(np.maximum(ratios[[1, -2]], 0.1))},
    }  # fmt: skip


def _mix(source: Mapping[str, Any], real: FloatArray, seed: int) -> dict[str, float]:
    names = sorted(BACKDROP_WEIGHTS)
    classes = []
    for name in names:
        frames = _rendered({**source, "regimes": {name: 1.0}}, NUM_OF_CLASS, seed)
        classes.append(frame_features(survey_frames(frames)))
    prior = np.array([BACKDROP_WEIGHTS[name] for name in names])
    weights = match_mixture(real, classes, prior / prior.sum())
    return {name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True)}


def _rendered(source: Mapping[str, Any], num_frames: int, seed: int) -> FrameSet:
    config = SceneConfig.model_validate({**source, "num_frames": num_frames})
    renderer = SceneRenderer(config, seed)

    def read(index: int) -> SourceFrame:
        scene = renderer.render(index)
        return SourceFrame(Frame(f"scene-{index:06d}", scene.levels, 255, scene.mask), (f"scene-{index:06d}",), True)

    reads = tuple(partial(read, index) for index in range(num_frames))
    return FrameSet("rendered", "scenes of the calibration", None, num_frames, 0, reads)


def _ratio(value: float) -> float:
    return round(float(min(value, 3.0)), 3)
