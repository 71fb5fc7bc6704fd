"""What charts are drawn with: SVG elements, scales with ticks, markers. Colours are classes of the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

NUM_INKS = 8
"""Colours, and markers, before they repeat (``style.css`` has as many)."""
CHAR_PX = 7.8
"""Mean width of a character of 12.5 px DejaVu Sans, the widest sans serif in common use (measured), for legends that wrap."""
_MARKS: tuple[Callable[[float], str], ...] = (
    lambda r: f"M{-r:g},0a{r:g},{r:g} 0 1,0 {2 * r:g},0a{r:g},{r:g} 0 1,0 {-2 * r:g},0Z",
    lambda r: _polygon(r * 1.2, 4, 45.0),
    lambda r: _polygon(r * 1.3, 3, -90.0),
    lambda r: _polygon(r * 1.3, 4, 0.0),
    lambda r: _polygon(r * 1.3, 3, 90.0),
    lambda r: _cross(r * 1.2, 45.0),
    lambda r: _cross(r * 1.3, 0.0),
    lambda r: _polygon(r * 1.2, 6, 0.0),
)


def element(name: str, *children: str, **attributes: str | float | None) -> str:
    """Return an element; texts among attributes are escaped, children are markup.

    Args:
        name: Its name.
        children: Markup inside it.
        attributes: A trailing underscore is dropped, others become hyphens; None leaves one out; numbers have one decimal.
    """
    texts = (f' {_key(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None)
    inside = "".join(children)
    return f"<{name}{''.join(texts)}>{inside}</{name}>" if inside else f"<{name}{''.join(texts)}/>"


def titled(text: str) -> str:
    """Return what a pointer reads, escaped."""
    return element("title", escape(text)) if text else ""


def label(x: float, y: float, text: str, *, class_: str = "", anchor: str = "start", tooltip: str = "") -> str:
    """Return a text at a place, escaped."""
    return element(
        "text", escape(text), titled(tooltip), x=x, y=y, class_=class_ or None, text_anchor=None if anchor == "start" else anchor
    )


def drawing(width: float, height: float, title: str, *children: str) -> str:
    """Return the whole drawing, as wide as its place in the page."""
    box = f"0 0 {_value(width)} {_value(height)}"
    return element("svg", titled(title), *children, class_="chart", viewBox=box, role="img", aria_label=title)


def ink(number: int) -> str:
    """Return the class of a colour."""
    return f"ink{number % NUM_INKS}"


def dot(x: float, y: float, number: int, tooltip: str) -> str:
    """Return the small dot of one seed in a colour, px."""
    return element("circle", titled(tooltip), cx=x, cy=y, r=2.6, class_=f"dot {ink(number)}")


def marker(x: float, y: float, number: int, radius: float = 4.5, tooltip: str = "") -> str:
    """Return the marker of a series; they differ in shape as well as in colour.

    Args:
        x: Place, px.
        y: Place, px.
        number: Number of the series.
        radius: Size, px.
        tooltip: What a pointer reads.
    """
    # after one round of shapes and colours together, shapes move on by one: sixteen series still differ
    shape = _MARKS[(number + number // NUM_INKS) % NUM_INKS](radius)
    place = f"translate({_value(x)},{_value(y)})"
    return element("path", titled(tooltip), d=shape, transform=place, class_=f"mark {ink(number)}")


def polyline(points: Sequence[tuple[float, float]], class_: str) -> str:
    """Return a line through points, px."""
    return element("polyline", points=_points(points), class_=class_)


def polygon(points: Sequence[tuple[float, float]], class_: str) -> str:
    """Return an area, px."""
    return element("polygon", points=_points(points), class_=class_)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to pixels.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``.
        start: px.
        end: px.
        is_log: Whether it is logarithmic; bounds are positive then.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value, px; values outside stand at the edge."""
        value = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values inside."""
        return _log_ticks(self.low, self.high, most) if self.is_log else _ticks(self.low, self.high, most)

    def apart(self, values: Sequence[float], least_px: float) -> list[float]:
        """Return values whose places keep a distance; the last one stays."""
        kept: list[float] = []
        for value in sorted(values, reverse=True):
            if not kept or abs(self(value) - self(kept[-1])) >= least_px:
                kept.append(value)
        return kept[::-1]


def scale_of(
    values: Sequence[float], start: float, end: float, *, is_log: bool = False, within: tuple[float, float] | None = None
) -> Scale:
    """Return a scale with some room around values.

    Args:
        values: Finite; positive when logarithmic. May be empty.
        start: px.
        end: px.
        is_log: Whether it is logarithmic.
        within: Bounds that no score crosses, such as 0 and 100.
    """
    if is_log:
        low, high = (min(values), max(values)) if values else (1.0, 10.0)
        room = max((high / low) ** 0.06, 1.12)
        return Scale(low / room, high * room, start, end, True)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = max(0.07 * (high - low), 1e-9 + 0.01 * abs(high))
    low, high = low - room, high + room
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    return Scale(low, high if high > low else low + 1.0, start, end)


def tick_text(value: float) -> str:
    """Return a tick's label."""
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.6g}".replace("-", "\u2212") if abs(value) < 1e5 else f"{value:,.0f}"


def wrapped(widths: Sequence[float], room: float) -> Iterator[tuple[float, int]]:
    """Yield the place and the line of items laid out like words.

    Args:
        widths: Width of each, px.
        room: Width of a line, px.
    """
    x, line = 0.0, 0
    for width in widths:
        if x and x + width > room:
            x, line = 0.0, line + 1
        yield x, line
        x += width


def _ticks(low: float, high: float, most: int) -> list[float]:
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [round(factor * 10.0**decade, 10) for decade in decades for factor in factors]
        found = [value for value in found if low <= value <= high]
        if len(found) <= most:
            return found
    every = -(-len(found) // most)
    return found[::every]


def _polygon(radius: float, corners: int, first_degrees: float) -> str:
    angles = (math.radians(first_degrees + 360.0 * corner / corners) for corner in range(corners))
    return "M" + "L".join(f"{_value(radius * math.cos(a))},{_value(radius * math.sin(a))}" for a in angles) + "Z"


def _cross(radius: float, degrees: float) -> str:
    """Return a cross of two bars, as an outline that can be filled."""
    half, cos, sin = radius * 0.36, math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(half, half), (radius, half), (radius, -half), (half, -half), (half, -radius), (-half, -radius)]
    corners += [(-half, -half), (-radius, -half), (-radius, half), (-half, half), (-half, radius), (half, radius)]
    return "M" + "L".join(f"{_value(x * cos - y * sin)},{_value(x * sin + y * cos)}" for x, y in corners) + "Z"


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_value(x)},{_value(y)}" for x, y in points)


def _key(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return escape(value)
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
