"""The two charts of the report: values over a size, and values in rows. Seeds are dots, means markers, intervals bands or bars.

Drawn at one width that a phone can show; series differ by marker and line as well as by colour, so that they are told apart on
paper and with any colour vision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Literal

from pipelines.report.cells import show
from pipelines.report.svg import (
    CHAR_PX,
    Scale,
    dot,
    drawing,
    element,
    ink,
    label,
    marker,
    polygon,
    polyline,
    scale_of,
    tick_text,
    wrapped,
)

WIDTH = 440.0
"""Width of a drawing, px (our choice): on a phone of 390 px its 12.5 px texts are still 10 px."""
SMOKE = "smoke, not evidence"
_PLOT_HEIGHT, _LEFT, _RIGHT, _BOTTOM = 250.0, 46.0, 14.0, 42.0
_LEGEND_LINE, _ROW, _DODGE_PX, _WIDE_DODGE_PX = 19.0, 42.0, 3.0, 5.0
"""Lengths in px (our choice, by looking): plot, margins, legend lines, rows, lines beside each other with bands and with bars."""
_MOST_BANDS = 3
"""Lines whose intervals are areas (our choice, by looking): more would hide each other, and theirs are bars."""


@dataclass(frozen=True, slots=True)
class Point:
    """One place of a series.

    Attributes:
        x: Where, finite.
        y: The mean, or None.
        low: Of its interval, or None.
        high: Of its interval, or None.
        dots: Label and value of each seed.
        flag: What a reader must know of it; its marker is ringed.
    """

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None
    dots: tuple[tuple[str, float], ...] = ()
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """A line of an xy chart.

    Attributes:
        name: For the legend.
        ink: Number of its colour and marker.
        points: From left to right.
        is_dashed: Whether the line is dashed: a fit that may not be stated.
        marks: Which means are marked; the last one of a line through many points, so that its shape tells it too.
        has_line: Whether means are joined.
    """

    name: str
    ink: int
    points: tuple[Point, ...]
    is_dashed: bool = False
    marks: Literal["all", "last", "none"] = "all"
    has_line: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Attributes:
        label: Quantity and unit.
        is_log: Whether it is logarithmic.
        within: Bounds that values do not cross.
        ticks: Places of ticks, where they are not round numbers.
    """

    label: str
    is_log: bool = False
    within: tuple[float, float] | None = None
    ticks: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a strip chart.

    Attributes:
        name: Above the row.
        ink: Number of its colour and marker.
        value: The mean, or None.
        low: Of its interval, or None.
        high: Of its interval, or None.
        dots: Label and value of each seed.
        text: The value, as text at the right end.
        bound: ``>=`` or ``<`` where the value is a bound, else ``=``.
    """

    name: str
    ink: int
    value: float | None
    low: float | None = None
    high: float | None = None
    dots: tuple[tuple[str, float], ...] = ()
    text: str = ""
    bound: str = "="


def xy_chart(
    series: Sequence[Series], x: Axis, y: Axis, *, title: str, is_smoke: bool = False, level: float | None = None
) -> str:
    """Draw values over a size.

    Args:
        series: Lines; those with dots stand a few pixels beside each other.
        x: The axis below.
        y: The axis at the left.
        title: For readers who hear the page.
        is_smoke: Whether the watermark is laid over.
        level: A value to draw a line at.
    """
    top, legend = _legend([(one.name, one.ink) for one in series if one.name])
    top += 22.0
    bottom = top + _PLOT_HEIGHT
    places = [p.x for one in series for p in one.points] + list(x.ticks or ())
    across = scale_of(places, _LEFT, WIDTH - _RIGHT, is_log=x.is_log, within=x.within)
    values = [value for one in series for p in one.points for value in _values(p)] + ([] if level is None else [level])
    up = scale_of(values, bottom, top, is_log=y.is_log, within=y.within)
    parts = [legend, *_frame(across, up, x, y)]
    if is_smoke:
        parts.append(_watermark((_LEFT + WIDTH - _RIGHT) / 2, (top + bottom) / 2))
    if level is not None:
        parts.append(polyline([(_LEFT, up(level)), (WIDTH - _RIGHT, up(level))], "level"))
    has_bands = sum(any(p.low is not None for p in one.points) for one in series) <= _MOST_BANDS
    shifts = _dodged(series, _DODGE_PX if has_bands else _WIDE_DODGE_PX)
    for draw in (partial(_band, is_area=has_bands), _line, _dots, _marks):
        parts += [draw(one, across, up, shift) for one, shift in zip(series, shifts, strict=True)]
    return drawing(WIDTH, bottom + _BOTTOM, title, *parts)


def _dodged(series: Sequence[Series], step: float) -> list[float]:
    """Return how far each line stands beside its place, ``step`` from the next, px."""
    beside = [number for number, one in enumerate(series) if any(p.dots for p in one.points)]
    middle = (len(beside) - 1) / 2
    return [step * (beside.index(number) - middle) if number in beside else 0.0 for number in range(len(series))]


def strip_chart(
    rows: Sequence[Row], x: Axis, *, title: str, is_smoke: bool = False, level: float | None = None, level_name: str = ""
) -> str:
    """Draw values in rows.

    Args:
        rows: From top to bottom.
        x: The axis below.
        title: For readers who hear the page.
        is_smoke: Whether the watermark is laid over.
        level: A value to draw a line at.
        level_name: What it is.
    """
    values = [value for row in rows for value in _values(row)] + ([] if level is None else [level])
    across = scale_of(values, 12.0, WIDTH - 12.0, is_log=x.is_log, within=x.within)
    tops = [8.0 + _ROW * number for number in range(len(rows))]
    bottom = 8.0 + _ROW * len(rows)
    parts = [*_vertical_grid(across, x, 4.0, bottom)]
    if is_smoke:
        parts.append(_watermark(WIDTH / 2, bottom / 2))
    if level is not None:
        parts.append(polyline([(across(level), 4.0), (across(level), bottom)], "level"))
    parts += [part for row, top in zip(rows, tops, strict=True) for part in _strip(row, top, across)]
    parts.append(label(WIDTH / 2, bottom + 35.0, x.label + (f"; line: {level_name}" if level_name else ""), anchor="middle"))
    return drawing(WIDTH, bottom + _BOTTOM, title, *parts)


def _values(place: Point | Row) -> Iterator[float]:
    middle = place.y if isinstance(place, Point) else place.value
    yield from (value for value in (middle, place.low, place.high) if value is not None)
    yield from (value for _, value in place.dots)


def _legend(names: Sequence[tuple[str, int]]) -> tuple[float, str]:
    """Return its height and its markup; a single series needs none."""
    if len(names) < 2:
        return 0.0, ""
    widths = [38.0 + CHAR_PX * len(name) for name, _ in names]
    parts, lines = [], 0
    for (name, number), (x, line) in zip(names, wrapped(widths, WIDTH - 8.0), strict=True):
        y, lines = 10.0 + _LEGEND_LINE * line, line + 1
        parts.append(polyline([(4.0 + x, y), (20.0 + x, y)], f"line {ink(number)}"))
        parts.append(marker(12.0 + x, y, number))
        parts.append(label(25.0 + x, y + 4.0, name))
    return 6.0 + _LEGEND_LINE * lines, element("g", *parts, class_="legend")


def _frame(across: Scale, up: Scale, x: Axis, y: Axis) -> Iterator[str]:
    left, right, bottom, top = across.start, across.end, up.start, up.end
    for tick in up.ticks():
        yield polyline([(left, up(tick)), (right, up(tick))], "grid")
        yield label(left - 6.0, up(tick) + 4.0, tick_text(tick), class_="tick", anchor="end")
    ticks = across.ticks(7) if x.ticks is None else across.apart(x.ticks, 34.0)
    for tick in ticks:
        yield polyline([(across(tick), bottom), (across(tick), bottom + 4.0)], "axis")
        yield label(across(tick), bottom + 18.0, tick_text(tick), class_="tick", anchor="middle")
    yield polyline([(left, bottom), (right, bottom)], "axis")
    yield label(4.0, top - 10.0, y.label)
    yield label((left + right) / 2, bottom + 36.0, x.label, anchor="middle")


def _vertical_grid(across: Scale, x: Axis, top: float, bottom: float) -> Iterator[str]:
    for tick in across.ticks() if x.ticks is None else x.ticks:
        yield polyline([(across(tick), top), (across(tick), bottom)], "grid")
        yield label(across(tick), bottom + 16.0, tick_text(tick), class_="tick", anchor="middle")


def _band(one: Series, across: Scale, up: Scale, shift: float, *, is_area: bool) -> str:
    """Return the areas between intervals of neighbours, and a whisker where one stands alone or no area is wanted."""
    parts = []
    for is_known, run in groupby(one.points, lambda p: p.low is not None and p.high is not None):
        found = [(across(p.x) + shift, up(p.low or 0.0), up(p.high or 0.0)) for p in run] if is_known else []
        if is_area and len(found) > 1:
            parts.append(
                polygon([(x, low) for x, low, _ in found] + [(x, high) for x, _, high in found[::-1]], f"band {ink(one.ink)}")
            )
        else:
            parts += [polyline([(x, low), (x, high)], f"whisker {ink(one.ink)}") for x, low, high in found]
    return "".join(parts)


def _line(one: Series, across: Scale, up: Scale, shift: float) -> str:
    if not one.has_line:
        return ""
    runs = [list(run) for known, run in groupby(one.points, lambda p: p.y is not None) if known]
    class_ = f"line {ink(one.ink)}" + (" dashed" if one.is_dashed else "")
    return "".join(polyline([(across(p.x) + shift, up(p.y or 0.0)) for p in run], class_) for run in runs if len(run) > 1)


def _dots(one: Series, across: Scale, up: Scale, shift: float) -> str:
    return "".join(
        dot(across(p.x) + shift, up(value), one.ink, f"{one.name}, {name}: {show(value)}")
        for p in one.points
        for name, value in p.dots
    )


def _marks(one: Series, across: Scale, up: Scale, shift: float) -> str:
    shown = {"all": one.points, "last": one.points[-1:], "none": ()}[one.marks]
    parts = []
    for p in shown:
        if p.y is not None:
            x, y = across(p.x) + shift, up(p.y)
            parts.append(element("circle", cx=x, cy=y, r=9, class_="flag") if p.flag else "")
            parts.append(
                marker(x, y, one.ink, tooltip=f"{one.name} at {tick_text(p.x)}: {show(p.y)}" + (f" ({p.flag})" if p.flag else ""))
            )
    return "".join(parts)


def _strip(row: Row, top: float, across: Scale) -> Iterator[str]:
    middle = top + 29.0
    yield label(0.0, top + 13.0, row.name)
    yield label(WIDTH, top + 13.0, row.text, class_="number", anchor="end")
    yield polyline([(12.0, middle), (WIDTH - 12.0, middle)], "grid")
    if row.low is not None and row.high is not None:
        left, right = across(row.low), across(row.high)
        yield element(
            "rect", x=left, y=middle - 6.0, width=max(right - left, 1.0), height=12, rx=3, class_=f"band {ink(row.ink)}"
        )
    for name, value in row.dots:
        yield dot(across(value), middle, row.ink, f"{row.name}, {name}: {show(value)}")
    if row.value is not None and math.isfinite(row.value):
        x = across(row.value)
        if row.bound != "=":
            end = x + (26.0 if row.bound == ">=" else -26.0)
            tip = 6.0 if row.bound == ">=" else -6.0
            yield polyline([(x, middle), (end, middle)], f"line {ink(row.ink)}")
            yield polyline([(end - tip, middle - 4.0), (end, middle), (end - tip, middle + 4.0)], f"line {ink(row.ink)}")
        yield marker(x, middle, row.ink, 5.0, f"{row.name}: {row.text or show(row.value)}")


def _watermark(x: float, y: float) -> str:
    turn = f"rotate(-16 {x:.0f} {y:.0f})"
    return element("text", SMOKE, x=x, y=y, text_anchor="middle", class_="watermark", transform=turn)
