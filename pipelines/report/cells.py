"""Numbers as the reader sees them and as machines read them: the same rounding, the same dash for what has no value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from finetune.metrics.intervals import Interval, seed_interval
from pipelines.report.blocks import Cell

DASH = "\u2013"
MINUS = "\u2212"
MIN_SEEDS = 3
"""Seeds from which a mean has an interval worth quoting; fewer are smoke (see ``finetune.metrics.intervals``)."""
HASH_CHARS = 12
"""Characters of a SHA-256 that are shown; report.json has all of them."""
NOTHING = Cell(DASH)


def finite(value: Any) -> float | None:
    """Return a number, or None for what is no finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def show(value: Any, digits: int = 2, *, signed: bool = False) -> str:
    """Return a number with a fixed count of decimals, or a dash."""
    number = finite(value)
    if number is None:
        return DASH
    text = f"{number:{'+' if signed else ''}z,.{digits}f}"
    return text.replace("-", MINUS)


def word(text: Any) -> Cell:
    """Return a text."""
    return NOTHING if text is None or text == "" else Cell(str(text), str(text))


def count(value: Any) -> Cell:
    """Return a whole number."""
    return NOTHING if finite(value) is None else Cell(f"{int(value):,}", int(value))


def number(value: Any, digits: int = 2, *, shade: float | None = None) -> Cell:
    """Return a number with decimals."""
    return Cell(show(value, digits), finite(value), shade=shade)


def digest(value: Any) -> Cell:
    """Return the beginning of a hash."""
    return NOTHING if not value else Cell(str(value)[:HASH_CHARS], str(value))


def p_value(value: Any) -> Cell:
    """Return a p value; three decimals."""
    found = finite(value)
    return NOTHING if found is None else Cell("< 0.001" if found < 0.001 else f"{found:.3f}", found)


def interval_of(values: Sequence[Any]) -> Interval | None:
    """Return the t interval of the finite values, from three on."""
    known = [value for value in map(finite, values) if value is not None]
    return seed_interval(known) if len(known) >= MIN_SEEDS else None


def mean(values: Sequence[Any], digits: int = 2, *, shade: float | None = None) -> Cell:
    """Return mean +- half the 95 % t interval, or the bare values of one or two seeds."""
    raw = [finite(value) for value in values]
    found = interval_of(values)
    if found is None:
        return Cell(", ".join(show(value, digits) for value in raw) or DASH, {"values": raw}, shade=shade)
    middle = (found.low + found.high) / 2
    some = f" ({sum(value is not None for value in raw)} of {len(raw)})" if None in raw else ""
    text = f"{show(middle, digits)} \u00b1 {show(found.half_width, digits)}{some}"
    return Cell(text, {"mean": middle, "half_width_95": found.half_width, "values": raw}, shade=shade)


def estimate(entry: Mapping[str, Any] | None) -> Cell:
    """Return a mean of an evaluation, with its half width where it has one."""
    if entry is None:
        return NOTHING
    half = finite(entry.get("half_width_95"))
    return Cell(show(entry.get("mean")) + ("" if half is None else f" \u00b1 {show(half)}"), dict(entry))


def span(low: Any, high: Any, digits: int = 2, *, signed: bool = False) -> str:
    """Return an interval as text."""
    if finite(low) is None or finite(high) is None:
        return DASH
    return f"[{show(low, digits, signed=signed)}, {show(high, digits, signed=signed)}]"


def bounded(value: Any, low: Any, high: Any, *, digits: int = 2) -> Cell:
    """Return a number with the interval it has, or alone."""
    has_interval = finite(value) is not None and finite(low) is not None and finite(high) is not None
    text = show(value, digits) + (f" {span(low, high, digits)}" if has_interval else "")
    return Cell(text, {"value": finite(value), "low": finite(low), "high": finite(high)})


def excludes_zero(low: Any, high: Any) -> bool:
    """Return whether there is an interval and zero lies outside."""
    bounds = finite(low), finite(high)
    return bounds[0] is not None and bounds[1] is not None and (bounds[0] > 0 or bounds[1] < 0)


def difference(values: Sequence[Any], low: Any, high: Any) -> Cell:
    """Return a paired difference with its interval; bare values where there is none."""
    if finite(low) is None or finite(high) is None:
        raw = [finite(value) for value in values]
        return Cell(", ".join(show(value, signed=True) for value in raw) or DASH, {"values": raw})
    middle = (float(low) + float(high)) / 2
    value = {"mean": middle, "low": float(low), "high": float(high), "values": [finite(value) for value in values]}
    return Cell(f"{show(middle, signed=True)} {span(low, high, signed=True)}", value, is_strong=excludes_zero(low, high))
