"""The path between scene and sensor: transmission, path radiance, apparent contrast and what follows from it.

Units: range km, radiance W/(m^2 sr) of the sensor's band, temperature K, solid angles by the IFOV in mrad. A user's own
table is the rule; ``exp(-k*R)`` without path radiance is the named fallback (an assumption, physics section 1).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synth.errors import SourceError
from synth.scene import portable

_FROZEN = ConfigDict(frozen=True, extra="forbid")

COLUMNS = ("range_km", "transmission", "path_radiance")
"""Header of a table file, comma-separated."""


class Attenuation(Protocol):
    """Anything that attenuates."""

    def at(self, range_km: float) -> tuple[float, float]:
        """Return transmission, 0..1, and path radiance, W/(m^2 sr), at a range in km."""
        ...


class BeerPath(BaseModel):
    """The fallback: transmission exp(-k*R), no path radiance.

    Attributes:
        kind: Always "beer".
        extinction_per_km: k, >= 0.
    """

    model_config = _FROZEN

    kind: Literal["beer"] = "beer"
    extinction_per_km: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0.0 <= self.extinction_per_km < 1e3:
            raise ValueError(f"extinction_per_km must be in 0..1000, got {self.extinction_per_km:g}")
        return self

    def at(self, range_km: float) -> tuple[float, float]:
        """Return transmission and path radiance at a range in km."""
        return float(portable.exp(-self.extinction_per_km * range_km)), 0.0

    def covers(self, range_km: float) -> bool:
        """Tell whether it says anything about a range: always."""
        return True


class PathTable(BaseModel):
    """A user's table, interpolated between its ranges and refused beyond them.

    Written out in the recipe, or named as a CSV file with the header :data:`COLUMNS`; the resolved recipe holds the rows and
    the hash of the file, so that the file is read once and no worker needs it. Transmission is interpolated in its
    logarithm, so that a table of exp(-k*R) is reproduced everywhere, and linearly where an end is 0; path radiance linearly.

    Attributes:
        kind: Always "table".
        file: CSV file the columns were read from, or null.
        range_km: Rising ranges, at least two.
        transmission: 0..1 at each.
        path_radiance: W/(m^2 sr) at each, >= 0.
        sha256: Hash of the file, or null.

    Raises:
        SourceError: The file cannot be read or is no such table.
    """

    model_config = _FROZEN

    kind: Literal["table"] = "table"
    file: str | None = None
    range_km: tuple[float, ...]
    transmission: tuple[float, ...]
    path_radiance: tuple[float, ...]
    sha256: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_file(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("file") is not None and "range_km" not in data:
            return {**data, **_read_columns(Path(data["file"]))}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        num = len(self.range_km)
        if num < 2 or len(self.transmission) != num or len(self.path_radiance) != num:
            lengths = (num, len(self.transmission), len(self.path_radiance))
            raise ValueError(f"path table must have at least 2 rows and equally long columns, got {lengths}")
        if self.range_km[0] < 0.0 or not all(a < b for a, b in zip(self.range_km, self.range_km[1:], strict=False)):
            raise ValueError(f"range_km must rise from >= 0, got {self.range_km[0]:g} .. {self.range_km[-1]:g}")
        if not all(0.0 <= value <= 1.0 for value in self.transmission):
            raise ValueError(f"transmission must be in 0..1, got {min(self.transmission):g} .. {max(self.transmission):g}")
        if not all(0.0 <= value < 1e9 for value in self.path_radiance):
            raise ValueError(f"path_radiance must be >= 0 and finite, got {min(self.path_radiance):g}")
        return self

    def covers(self, range_km: float) -> bool:
        """Tell whether a range lies within the table."""
        return self.range_km[0] <= range_km <= self.range_km[-1]

    def at(self, range_km: float) -> tuple[float, float]:
        """Return transmission and path radiance at a range in km.

        Raises:
            ValueError: If the range lies outside the table.
        """
        if not self.covers(range_km):
            raise ValueError(
                f"range_km must be in {self.range_km[0]:g}..{self.range_km[-1]:g}, the table's own, got {range_km:g}"
            )
        upper = next(k for k in range(1, len(self.range_km)) if range_km <= self.range_km[k])
        near, far = self.range_km[upper - 1], self.range_km[upper]
        share = (range_km - near) / (far - near)
        radiance = self.path_radiance[upper - 1] * (1.0 - share) + self.path_radiance[upper] * share
        return _between(self.transmission[upper - 1], self.transmission[upper], share), radiance


def _read_columns(file: Path) -> dict[str, Any]:
    try:
        content = file.read_bytes()
        rows = list(csv.DictReader(content.decode("utf-8-sig").splitlines()))
        columns = {name: tuple(float(row[name]) for row in rows) for name in COLUMNS}
    except OSError as error:
        raise SourceError(
            f"path table {file}: {error.strerror}; give a CSV file with the columns {', '.join(COLUMNS)}"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        why = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise SourceError(f"path table {file}: {why}; give numbers under the header {','.join(COLUMNS)}") from error
    return {**columns, "sha256": hashlib.sha256(content).hexdigest()}


def _between(near: float, far: float, share: float) -> float:
    if near == 0.0 or far == 0.0:
        return near * (1.0 - share) + far * share
    return near * float(portable.exp(share * float(portable.log(far / near))))


AttenuationConfig = Annotated[BeerPath | PathTable, Field(discriminator="kind")]
"""The path of a recipe: ``{kind: table, file: X.csv}`` or ``{kind: beer, extinction_per_km: K}``."""


def fill_factor(*, area_m2: float, range_km: float, ifov_mrad: float) -> float:
    """Return the share of a pixel that a target covers, min(1, A / (R*IFOV)^2); km times mrad are metres."""
    footprint_m = range_km * ifov_mrad
    return min(1.0, area_m2 / (footprint_m * footprint_m))


def apparent_contrast(
    path: Attenuation, *, range_km: float, fill: float, target_radiance: float, background_radiance: float
) -> float:
    """Return the target's radiance contrast at the sensor, fill*(tau*L_t + L_path - L_b).

    Args:
        path: Transmission and path radiance.
        range_km: Range of the target.
        fill: Share of the pixel covered, 0..1.
        target_radiance: L_t at the target, W/(m^2 sr).
        background_radiance: L_b as it appears at the sensor, its own path included; the contrast may therefore change
            sign with range where the background is farther than the target.

    Returns:
        W/(m^2 sr); divided by the band's dL/dT it is an apparent temperature difference.
    """
    transmission, path_radiance = path.at(range_km)
    return fill * (transmission * target_radiance + path_radiance - background_radiance)


def apparent_kelvin(path: Attenuation, *, range_km: float, fill: float, kelvin: float) -> float:
    """Return dT*fill*tau in K: the contrast with a background at the target's own range, which shares its path."""
    return kelvin * fill * path.at(range_km)[0]


def noise_equivalent_irradiance(*, netd_mk: float, radiance_per_k: float, ifov_mrad: float, energy_in_pixel: float) -> float:
    """Return NEI = NETD * dL/dT * IFOV^2 / EE in W/m^2 at the aperture, for the brightest pixel (physics section 12).

    Args:
        netd_mk: NETD.
        radiance_per_k: Band radiance derivative dL/dT at the scene temperature, W/(m^2 sr K).
        ifov_mrad: Field of view of a pixel.
        energy_in_pixel: Share EE of a point's flux in its brightest pixel, 0..1.
    """
    solid_angle = (ifov_mrad * 1e-3) ** 2
    return netd_mk * 1e-3 * radiance_per_k * solid_angle / energy_in_pixel


def point_snr(path: Attenuation, *, intensity_w_sr: float, range_km: float, nei_w_m2: float) -> float:
    """Return J*tau(R) / (R^2*NEI) of an unresolved target of contrast radiant intensity J (no path term)."""
    range_m = range_km * 1e3
    return intensity_w_sr * path.at(range_km)[0] / (range_m * range_m * nei_w_m2)
