"""Ready sensors with the source and standing of every number; generic, public values: no system is modelled.

Standing: (P) published, (A) assumption without a citable source, (C) computed, (O) our choice. "physics" is the parameter
table of the project's documentation, its section 10 unless another is named. For all presets:

- ``gain_dn_per_k`` 100 on 14 bit (O, physics 1): 164 K of span; 14 bit raw, 8 bit view (P: FLIR Tau and Boson sheets).
- ``offset_dn`` 6000 (O): scenes span about -20..60 K around T0; T0 300 K (P: the reference of NETD statements).
- spatial ratios vh, v, h (A, physics 10); temporal ratios t .05, tv .1, th .05 uncooled, half of that cooled (A, physics 2).
- ``column_walk`` .1 uncooled, .05 cooled (A): below the fixed column pattern, so that it shows on flat sky only.
- defects: 99.9 % operability (A, physics 2), of which a camera misses 5 % (A): residual 5e-5, inside its 1e-5..1e-4.
- ``nuc_residual_k`` .08 uncooled, .03 cooled (A): about .3 and .1 K from end to end, up to 0.6 K being published after
  calibration (P: Thomassen & van Rheenen, SPIE 2020).
- ``vignetting`` .03 uncooled, .02 cooled (A, physics 2: 1-5 % after correction); ``gain_nonuniformity`` 0.1 % (A).
- ``time_constant_ms`` 10 for bolometers (A, physics 2: 7-15 ms).
- ``well_fraction`` .98 (A): analogue rails end before the converter does.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from synth.errors import RecipeError
from synth.scene.display import LinearAgc, PlateauAgc
from synth.scene.sensor_config import BadPixels, NoiseRatios, PhotonShot, SensorConfig, ThermalShot

__all__ = ["SENSOR_PRESETS", "BadPixels", "NoiseRatios", "PhotonShot", "SensorConfig", "ThermalShot", "sensor_named"]

_RESIDUAL_DEFECTS = BadPixels(dead_rate=4e-4, hot_rate=4e-4, blinking_rate=2e-4)  # split of the 1e-3 (A)
_COOLED = NoiseRatios(vh=0.2, v=0.1, h=0.1, t=0.025, tv=0.05, th=0.025, column_walk=0.05)

_UNCOOLED_12UM = SensorConfig(
    name="uncooled_lwir_12um",
    frame_hw=(512, 640),  # (P) Boson 640
    sigma_optics_px=(0.35, 0.6),  # (C) 0.42 * 10 um * f/1.0 / 12 um = 0.35; up to .6 with aberrations (A)
    netd_mk=40.0,  # (P) < 40 mK at f/1, 50 Hz, 300 K: Boson sheet 102-2013-40
    f_number=1.0,
    frame_rate_hz=50.0,
    noise=NoiseRatios(vh=0.4, v=0.25, h=0.25, t=0.05, tv=0.1, th=0.05, column_walk=0.1),
    gain_nonuniformity=0.001,
    nuc_residual_k=0.08,
    bad_pixels=_RESIDUAL_DEFECTS,
    vignetting=0.03,
    well_fraction=0.98,
    time_constant_ms=10.0,
    agc=PlateauAgc(),
)

_UNCOOLED_17UM = _UNCOOLED_12UM.model_copy(
    update={
        "name": "uncooled_lwir_17um_legacy",
        "frame_hw": (288, 384),  # (P) common 17 um array
        "sigma_optics_px": (0.3, 0.6),  # (C) 0.42 * 10 um * f/1.2 / 17 um = 0.30
        "netd_mk": 60.0,  # (A) commercial grade 50-60 mK
        "f_number": 1.2,  # (A)
        "noise": NoiseRatios(vh=0.6, v=0.35, h=0.35, t=0.05, tv=0.1, th=0.05, column_walk=0.1),
        "agc": LinearAgc(),
    }
)

_COOLED_F4 = SensorConfig(
    name="cooled_mwir_15um_f4",
    frame_hw=(512, 640),  # (P) common MWIR array
    sigma_optics_px=(0.45, 0.55),  # (C) 0.42 * 4 um * f/4 / 15 um = 0.45
    netd_mk=20.0,  # (A) 20-25 mK at f/4 - f/5.5
    f_number=4.0,
    frame_rate_hz=100.0,  # (A)
    # (A) 2e6 electrons, well (16056 - 3500) * 800 = 1.0e7, the upper end of physics 2. (C) 4 um at 300 K: 0.040 /K, so the
    # shot limit is 1 / (sqrt(2e6) * 0.040) = 17.7 mK; the rest up to 20 mK, 745 electrons, is read noise and losses.
    shot=PhotonShot(background_e=2e6, read_e=745.0, gain_e_per_dn=800.0, contrast_per_k=0.040),
    noise=_COOLED,
    gain_nonuniformity=0.001,
    nuc_residual_k=0.03,
    bad_pixels=_RESIDUAL_DEFECTS,
    vignetting=0.02,
    well_fraction=0.98,
    agc=LinearAgc(),
)

_COOLED_F55 = _COOLED_F4.model_copy(
    update={
        "name": "cooled_mwir_f5p5",
        "sigma_optics_px": (0.6, 0.7),  # (C) 0.42 * 4 um * f/5.5 / 15 um = 0.62
        "netd_mk": 25.0,  # (A)
        "f_number": 5.5,  # (P) Neutrino LC
        # (C) the electrons fall with the aperture, 2e6 * (4 / 5.5)^2; read noise makes up 25 mK from the limit of 24.3
        "shot": PhotonShot(background_e=1.06e6, read_e=250.0, gain_e_per_dn=424.0, contrast_per_k=0.040),
    }
)

_SPACE = SensorConfig(
    name="space_staring",
    frame_hw=(512, 512),
    sigma_optics_px=(0.5, 0.8),
    netd_mk=55.4,  # (C) the electrons' 5.5 levels, in the scene's unit of 100 levels
    frame_rate_hz=10.0,  # (A)
    offset_dn=1000.0,  # (O) dark sky: nearly all of the range is left to targets
    # (A) electrons; 20 a level (O): on 5.5 levels of noise a 2-px target of SCR 1 can still be built to 5 %
    shot=PhotonShot(background_e=1e4, read_e=42.0, dark_e=500.0, gain_e_per_dn=20.0, contrast_per_k=None),
    noise=NoiseRatios(vh=0.1, v=0.05, h=0.05, t=0.025, tv=0.05, th=0.025, column_walk=0.0),
    gain_nonuniformity=0.001,
    bad_pixels=BadPixels(hot_rate=1e-4, cluster_share=0.0, replacement=False),  # (A) star-like, left in
    vignetting=0.02,
    well_fraction=0.98,
    agc=LinearAgc(tail_percent=0.02),  # (O) a target must not fall into the rejected tail of an almost empty frame
)

# (C) fitted to the 341 frames of SIRST v1 trainval by `python -m pipelines.calibrate --split trainval` (docs/calibration.md):
# raw levels are nominal, blur, noise beside contrast and gain control read like the published frames
_SIRST_LIKE = SensorConfig(
    name="sirst_like",
    frame_hw=(512, 512),  # physics 10: 256-512
    sigma_optics_px=(0.25, 0.25, 0.25, 0.25, 0.2654, 0.8689, 0.9153, 1.09, 1.299, 1.308, 1.712),
    netd_mk=8.13,
    gain_dn_per_k=400.0,
    adc_bits=16,
    offset_dn=24000.0,
    noise=NoiseRatios(vh=0.0, v=0.219, h=0.303, t=0.0, tv=0.0, th=0.0),
    agc=LinearAgc(
        span_dn=(2, 53.74, 72.02, 194, 216.1, 228.6, 230.7, 231.5, 234.4, 255, 255),
        lift=(0.2211, 0.2512, 0.3157, 0.3564, 0.3958, 0.4872, 0.5932, 0.5944, 0.6655, 0.7639, 1),
        max_noise_dn=(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3816, 0.4039, 0.4205, 0.4506, 0.7419),
    ),
    levels_share=(0.8437, 0.8586, 0.8636, 0.9784, 1, 1, 1, 1, 1, 1, 1),
    jpeg_quality=(50, 85, 95, 100),  # (A) the published frames went through JPEG or video
)

_STRESS = _UNCOOLED_12UM.model_copy(
    update={"name": "stress_low_scr", "sigma_optics_px": (0.45, 0.45), "agc": LinearAgc()}  # physics 10
)

SENSOR_PRESETS: Mapping[str, SensorConfig] = MappingProxyType(
    {
        sensor.name: SensorConfig.model_validate(sensor.model_dump())  # copies are checked like written ones
        for sensor in (_UNCOOLED_12UM, _UNCOOLED_17UM, _COOLED_F4, _COOLED_F55, _SPACE, _SIRST_LIKE, _STRESS)
    }
)
"""The shipped sensors by name."""


def sensor_named(preset: str, /, **overrides: Any) -> SensorConfig:
    """Return a shipped sensor, changed where told.

    Args:
        preset: A key of :data:`SENSOR_PRESETS`.
        overrides: Fields to replace; a mapping given for a section changes the named keys of that section only, unless
            it names another ``kind``.

    Returns:
        The checked sensor.

    Raises:
        RecipeError: If the name is unknown or the result contradicts itself; every fault starts with its key.
    """
    if preset not in SENSOR_PRESETS:
        raise RecipeError(f"sensor must be one of {', '.join(SENSOR_PRESETS)}, got {preset!r}")
    data = SENSOR_PRESETS[preset].model_dump()
    for key, value in overrides.items():
        data[key] = _merged(data.get(key), value)
    try:
        return SensorConfig.model_validate(data)
    except ValidationError as error:
        raise RecipeError(*(_line(fault) for fault in error.errors())) from error


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict) and new.get("kind", old.get("kind")) == old.get("kind"):
        return old | new
    return new


def _line(fault: ErrorDetails) -> str:
    """Return a fault as one line, "<key> must be <rule>, got <value>"."""
    kinds = ("thermal", "photon", "linear", "plateau", "mixed")  # pydantic puts the member of a union into the location
    key = ".".join(str(part) for part in fault["loc"] if part not in kinds)
    if fault["type"] == "value_error":
        message = str(fault["ctx"]["error"])
        return f"{key} {message}" if message.startswith("must") else f"{key}.{message}".lstrip(".")
    if fault["type"] == "union_tag_invalid":
        return f"{key}.kind must be one of {fault['ctx']['expected_tags']}, got {fault['ctx']['tag']!r}"
    if fault["type"] in _SHORT_RULES:
        return f"{key} must be {_SHORT_RULES[fault['type']]}"
    return f"{key} must be {fault['msg'].removeprefix('Input should be ')}, got {fault['input']!r}"


_SHORT_RULES = {"extra_forbidden": "a field of a sensor, got an unknown name", "missing": "given, got nothing"}
