"""Tables of a law that follow tables of a number: how rendered frames are brought to look like real ones, decile by decile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.calibrate.measures import Measured

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Follower:
    """A law of the recipe and the measured number that it drives.

    Attributes:
        key: Dotted key below ``source``.
        follows: Name of the measure.
        bounds: What the recipe allows, less what makes no sense.
        floor: Makes ratios of small numbers tame: the law is multiplied by (wanted + floor) / (rendered + floor). None for
            laws that are moved by a difference.
        step: Share of the miss made good in a round, or units of the law per unit of the number.
    """

    key: str
    follows: str
    bounds: tuple[float, float]
    floor: float | None
    step: float

    def moved(self, law: FloatArray, wanted: FloatArray, rendered: FloatArray) -> FloatArray:
        """Return the law after one round."""
        if self.floor is None:
            return self._rising(law + self.step * (wanted - rendered))
        return self._rising(law * ((wanted + self.floor) / (rendered + self.floor)) ** self.step)

    def interval(self, law: FloatArray, measured: Measured) -> tuple[FloatArray, FloatArray]:
        """Return what the interval of the number means for the law, to first order."""
        full = 1.0 if self.floor is not None else self.step
        one_round = Follower(self.key, self.follows, self.bounds, self.floor, full)
        return one_round.moved(law, measured.low, measured.value), one_round.moved(law, measured.high, measured.value)

    def _rising(self, law: FloatArray) -> FloatArray:
        return np.sort(np.clip(law, *self.bounds))


FOLLOWERS = (
    Follower("sensor.agc.span_dn", "std_dn", (2.0, 255.0), 0.5, 0.7),
    Follower("sensor.agc.lift", "mean_dn", (0.0, 1.0), None, 0.004),  # the unused grey levels are some 150
    Follower("sensor.agc.max_noise_dn", "noise_dn", (0.2, 30.0), 0.1, 0.7),
    Follower("sensor.sigma_optics_px", "psd_slope", (0.25, 2.0), None, 0.35),  # 1.2 px add about 1.3 to a slope (measured)
    Follower("scr.view_peak_dn", "peak_dn", (2.0, 230.0), 3.0, 0.7),
)
"""Laws fitted on whole rendered frames; target shapes are fitted on isolated targets (:mod:`synth.calibrate.shapes`)."""


def follow(source: Mapping[str, Any], wanted: Mapping[str, Measured], rendered: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Return a source section with every law moved that it holds and that both sets tell about."""
    out = dict(source)
    for follower in FOLLOWERS:
        law = value_at(out, follower.key)
        if law is not None and follower.follows in wanted and follower.follows in rendered:
            out = with_value(
                out, follower.key,
                four_digits(follower.moved(np.array(law), wanted[follower.follows].value, rendered[follower.follows])),
            )  # fmt: skip
    return out


def value_at(section: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key, or None where there is none."""
    at: Any = section
    for part in key.split("."):
        at = at.get(part) if isinstance(at, Mapping) else None
    return at


def with_value(section: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return a copy of nested sections with the value of a dotted key replaced."""
    first, _, rest = key.partition(".")
    return {**section, first: with_value(section.get(first, {}), rest, value) if rest else value}


def map_values(values: FloatArray, change: Callable[[float], float]) -> list[float]:
    """Return numbers changed one by one."""
    return [change(float(value)) for value in values]


def four_digits(values: FloatArray) -> list[float]:
    """Return numbers to four significant digits, as a recipe shows them."""
    return map_values(values, lambda value: float(f"{value:.4g}"))
