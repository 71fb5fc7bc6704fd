"""What to render: the ``scenes`` source of a recipe, checked before any work starts.

Sections stand beside what they configure: ``sensor`` (:mod:`synth.scene.presets`), ``regimes`` and ``plates`` (what is
behind), ``targets`` with ``scr`` or ``ranges`` (what is to be found), ``impostors`` (what is not), ``sequence`` (how it moves).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synth.errors import RecipeError
from synth.scene.backdrops import BACKDROP_WEIGHTS, BackdropName
from synth.scene.draws import rising
from synth.scene.noise_members import noise_sigma_dn
from synth.scene.preset_scenes import PRESET_SCENES
from synth.scene.presets import SENSOR_PRESETS, SensorConfig, sensor_named
from synth.scene.ranges import RangesConfig
from synth.scene.scr import HEADROOM
from synth.scene.sensor_config import PSF_REACH_SIGMAS, PhotonShot
from synth.scene.target_config import ImpostorRates, Interval, ScrConfig, Share, TargetsConfig, Weight

_FROZEN = ConfigDict(frozen=True, extra="forbid")

Side = Annotated[int, Field(ge=64, le=2048)]


class PlatesConfig(BaseModel):
    """Real target-free frames as backgrounds.

    Attributes:
        path: Folder of frames; those with masks give windows free of targets only.
        split: Split to draw on where the folder has lists; test lists are never read. Null takes every frame of a
            folder without lists.
        split_list: Name of the family of lists, or null for the official one. It is no part of what a store records where it is
            null, so that stores from before there was the key go on.
        share: Share of the scenes on a plate (physics section 7: 50 %, our choice).
        span_kelvin: Bounds of the temperature a plate's middle 99 % spans, log-uniform: the gain jitter. Our choice: with
            40 mK of noise it puts the noise of 8-bit views at 0.4-3 grey levels, as on the target-free frames.
        offset_kelvin: Bounds of a plate's median temperature relative to T0, uniform: the offset jitter (our choice).
    """

    model_config = _FROZEN

    path: str = Field(min_length=1)
    split: Literal["train", "trainval"] | None = "train"
    split_list: str | None = Field(default=None, exclude_if=lambda name: name is None)
    share: Share = 0.5
    span_kelvin: Interval = (3.0, 25.0)
    offset_kelvin: Interval = (-10.0, 15.0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        rising("plates.span_kelvin", self.span_kelvin, 0.05, 120.0)
        rising("plates.offset_kelvin", self.offset_kelvin, -40.0, 60.0)
        return self


class SequenceConfig(BaseModel):
    """Frames that belong together: frame ``i`` is number ``i % length`` of sequence ``i // length``.

    Attributes:
        length: Frames of a sequence.
        speed_px: Bounds of a target's speed against the scene, px/frame, uniform (our choice).
        turn_share: Share of targets on a circular path (our choice); the others keep their course.
        turn_rate: Bounds of the turn, turns/frame, uniform, either way (our choice).
        drift_px: Step of the line of sight's random walk, standard deviation per axis, px/frame.
        jitter_px: White jitter of the line of sight between frames, standard deviation per axis, px.
        reach_px: The line of sight is held within this distance, px: the margin that is painted around the frame.
        lag: Whether a bolometer's time constant smears the signal over frames; photon detectors have none.
    """

    model_config = _FROZEN

    length: int = Field(default=64, ge=1, le=10_000)
    speed_px: Interval = (0.0, 1.5)
    turn_share: Share = 0.3
    turn_rate: Interval = (0.0, 0.005)
    drift_px: float = Field(default=0.1, ge=0.0, le=5.0)
    jitter_px: float = Field(default=0.05, ge=0.0, le=5.0)
    reach_px: int = Field(default=24, ge=0, le=256)
    lag: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        rising("sequence.speed_px", self.speed_px, 0.0, 20.0)
        rising("sequence.turn_rate", self.turn_rate, 0.0, 0.25)
        if self.reach_px == 0 and (self.drift_px or self.jitter_px):
            raise ValueError("sequence.reach_px must be > 0 with drift_px or jitter_px, got 0")
        return self

    @property
    def sight_reach_px(self) -> int:
        """How far the line of sight may go: nowhere without drift and jitter."""
        return self.reach_px if self.drift_px or self.jitter_px else 0


DEFAULT_SENSOR = "uncooled_lwir_12um"


class SceneConfig(BaseModel):
    """Frames rendered from a scene and a sensor model.

    Attributes:
        kind: Always "scenes".
        num_frames: Frames in the source.
        frame_hw: Rows and columns of a frame, each 64..2048 px: a window of the sensor's array.
        sensor: Name of a preset, or a sensor written out.
        sensor_overrides: Fields to change in the preset.
        regimes: Backgrounds with their relative frequencies.
        plates: Real backgrounds, or null for painted ones only.
        targets: How many targets, of what kind, where.
        scr: How strong they are.
        ranges: Targets by range and radiance instead of by a ratio, or null.
        impostors: Hard negatives.
        sequence: Motion, or null for frames that have nothing to do with each other.
        textures: ``shared``: cut from sheets that a block of 1024 scenes shares; ``own``: drawn for each scene, several
            times slower (:mod:`synth.scene.sheets`).
        clutter_tilt: Added to the exponent of the power spectral density of every painted texture (physics section 7 puts
            them in 1.8-3.8).
        frames_per_camera: Consecutive single frames that share a camera; a sequence has one of its own.
        raw: Whether the raw uint16 frames are kept beside the view.
        calibrated_on: What real frames the numbers were fitted to, for the record; empty when to none.
    """

    model_config = _FROZEN

    kind: Literal["scenes"] = "scenes"
    num_frames: int = Field(default=400, ge=1, le=10_000_000)
    frame_hw: tuple[Side, Side] = (256, 256)
    sensor: str | SensorConfig = DEFAULT_SENSOR
    sensor_overrides: dict[str, Any] = Field(default_factory=dict)
    regimes: dict[BackdropName, Weight] = Field(default_factory=lambda: dict(BACKDROP_WEIGHTS))
    plates: PlatesConfig | None = None
    targets: TargetsConfig = TargetsConfig()
    scr: ScrConfig = ScrConfig()
    ranges: RangesConfig | None = None
    impostors: ImpostorRates = ImpostorRates()
    sequence: SequenceConfig | None = None
    textures: Literal["shared", "own"] = "shared"
    clutter_tilt: float = Field(default=0.0, ge=-1.0, le=1.0)
    frames_per_camera: int = Field(default=64, ge=1, le=10_000_000)
    raw: bool = False
    calibrated_on: str = Field(default="", max_length=300)

    @model_validator(mode="before")
    @classmethod
    def _take_preset_scene(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        name = data.get("sensor", DEFAULT_SENSOR)
        defaults = PRESET_SCENES.get(name, {}) if isinstance(name, str) else {}
        return {**data, **{key: _under(data[key], values) if key in data else values for key, values in defaults.items()}}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not sum(self.regimes.values()) > 0.0:
            raise ValueError("regimes must have a weight > 0, got none")
        if self.sensor_overrides and isinstance(self.sensor, SensorConfig):
            raise ValueError(
                f"sensor_overrides must be empty when the sensor is written out, got {sorted(self.sensor_overrides)}"
            )
        self._check_sensor(self.resolved_sensor())
        self._check_ratios(self.resolved_sensor())
        self._check_ranges()
        self._check_places()
        return self

    def resolved_sensor(self) -> SensorConfig:
        """Return the sensor with its overrides.

        Raises:
            ValueError: The preset is unknown or the overrides contradict it; pydantic reports it with its key.
        """
        if isinstance(self.sensor, SensorConfig):
            return self.sensor
        if self.sensor not in SENSOR_PRESETS:
            raise ValueError(f"sensor must be one of {', '.join(SENSOR_PRESETS)}, got {self.sensor!r}")
        try:
            return sensor_named(self.sensor, **self.sensor_overrides)
        except RecipeError as error:
            raise ValueError("; ".join(f"sensor_overrides: {fault}" for fault in error.faults)) from error

    def _check_sensor(self, sensor: SensorConfig) -> None:
        widest = PSF_REACH_SIGMAS * (sensor.sigma_optics_px[-1] ** 2 + sensor.jitter_sigma_px**2) ** 0.5
        if widest > min(self.frame_hw):
            raise ValueError(f"frame_hw must be >= the sensor's PSF of {widest:.3g} px, got {self.frame_hw}")
        if self.scr.mode == "realised" and isinstance(sensor.shot, PhotonShot) and sensor.shot.exact_poisson:
            raise ValueError("scr.mode must be expected with shot.exact_poisson, got realised: its noise follows the signal")

    def _check_ratios(self, sensor: SensorConfig) -> None:
        """Refuse ratios that no place can carry: even on noise alone they reach the rail."""
        most = most_ratio(sensor, dark=self.targets.dark_share == 1.0)
        if self.scr.high > most:
            raise ValueError(
                f"scr.high must be <= {most:.3g}, what lies between the sensor's offset_dn and its rail, got {self.scr.high:g}"
            )

    def _check_ranges(self) -> None:
        if self.ranges is None:
            return
        point, *others = self.targets.levels.weights
        if not point > 0.0 or any(others):
            raise ValueError("targets.levels must be point alone with ranges: their targets are unresolved")
        if self.targets.dark_share > 0.0:
            raise ValueError("targets.dark_share must be 0 with ranges: the contrast decides on the sign")
        if self.scr.mode != "expected" or self.scr.view_peak_dn is not None:
            raise ValueError("scr.mode must be expected and scr.view_peak_dn null with ranges: they decide on the amplitude")

    def _check_places(self) -> None:
        needed = 2 * self.targets.border_px + 2 * int(2.0 * self.targets.half_length_px[-1]) + 1
        if self.targets.levels.extended > 0.0 and needed > min(self.frame_hw):
            raise ValueError(
                f"targets.border_px and half_length_px must leave room in frame_hw {self.frame_hw}, need {needed} px"
            )
        if self.sequence is not None and self.sequence.length > self.num_frames:
            raise ValueError(f"sequence.length must be <= num_frames = {self.num_frames}, got {self.sequence.length}")
        if (
            self.sequence is None
            and self.impostors.seam_patch > max(self.targets.mean_count, 1e-9)
            and self.targets.empty_share < 1
        ):
            raise ValueError(
                f"impostors.seam_patch must be <= the mean of {self.targets.mean_count:.3g} targets a frame, because as many "
                f"targets stand on a seam, got {self.impostors.seam_patch:g}"
            )


def _under(given: Any, defaults: Mapping[str, Any]) -> Any:
    """Return a section with a preset's settings for the keys that were not given, also those of a section in it.

    Regimes and objects stay as they are.
    """
    if not isinstance(given, Mapping) or set(defaults) <= set(BACKDROP_WEIGHTS) | {"space"}:
        return given
    inner = {key: {**defaults[key], **given[key]} for key in given if _are_mappings(given[key], defaults.get(key))}
    return {**defaults, **given, **inner}


def _are_mappings(*values: Any) -> bool:
    return all(isinstance(value, Mapping) for value in values)


def most_ratio(sensor: SensorConfig, *, dark: bool = False) -> float:
    """Return the largest ratio that any place can carry: from ``offset_dn`` to the rail on noise alone.

    Args:
        sensor: The sensor.
        dark: Whether all targets are dark, so that the lower rail counts.
    """
    room_dn = (1.0 - HEADROOM) * sensor.rail_dn - sensor.offset_dn
    if dark:
        room_dn = sensor.offset_dn - HEADROOM * sensor.rail_dn
    return room_dn / noise_sigma_dn(sensor, sensor.offset_dn)
