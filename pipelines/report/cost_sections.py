"""What accuracy costs, with the prices a user gives: every arm over money, as measured, and the next point of IoU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.blocks import Block, Cell, Figure, Omitted, Panels, Section, Table, Text, table
from pipelines.report.cells import NOTHING, count, finite, mean, word
from pipelines.report.charts import Axis, Series, xy_chart
from pipelines.report.law_sections import states_law
from pipelines.report.study import Group, Study, known, labels_cell, point_of
from synth.errors import RecipeError

FORM = "label=PRICE[,synthetic=PRICE][,unit=NAME]"
"""How prices are given."""
_TITLE = "Cost curve"
_MOST_UNIT_CHARS = 12
"""Longest name of a unit (our choice: it stands beside every amount)."""
_NOTE = (
    "Money: labelled frames times the price of a label, and synthetic frames times theirs. Small dots: seeds; bands or bars: "
    "95 % t intervals. Lines join what was measured and end there. Not counted: the labels of the validation list, which every "
    "arm needs alike, and computing time, to which belongs what a pretraining renders as it goes."
)
_NEXT_HEADS = ("data set", "budget", "arm", "beyond labels", "more labelled frames", "more synthetic frames", "cost")
_NEXT_NOTE = (
    "Frames that one more point of IoU takes beyond the largest label count, by the arm's law, times the prices. Only where "
    "these are stated; their interval stands with the law."
)


@dataclass(frozen=True, slots=True)
class Prices:
    """What frames cost.

    Attributes:
        label: Of one labelled frame, > 0.
        synthetic: Of one synthetic frame, or None: not known.
        unit: Currency, or hours.
    """

    label: float
    synthetic: float | None = None
    unit: str = ""

    @classmethod
    def parse(cls, text: str) -> Prices:
        """Return prices from the command line, such as ``label=2.5,synthetic=0.01,unit=EUR``.

        Raises:
            RecipeError: It has another form, or a price is no amount of money.
        """
        pairs = [part.partition("=") for part in text.split(",")]
        parts = {key.strip(): value.strip() for key, _, value in pairs}
        if "label" not in parts or len(parts) < len(pairs) or not parts.keys() <= {"label", "synthetic", "unit"}:
            raise RecipeError(f"--cost must be {FORM}, got {text}")
        amounts = {key: _amount(key, parts[key]) for key in ("label", "synthetic") if key in parts}
        if amounts["label"] == 0:
            raise RecipeError(f"--cost label must be > 0, got {parts['label']}")
        if len(parts.get("unit", "")) > _MOST_UNIT_CHARS:
            raise RecipeError(f"--cost unit must be at most {_MOST_UNIT_CHARS} characters, got {parts['unit']}")
        return cls(**amounts, unit=parts.get("unit", ""))

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        amounts = {"label": self.label, "synthetic": self.synthetic}
        found = {key: repr(value).removesuffix(".0") for key, value in amounts.items() if value is not None}
        return ",".join(f"{key}={value}" for key, value in (found | {"unit": self.unit}).items() if value)

    def money(self, value: float) -> Cell:
        """Return an amount."""
        text = f"{value:,.0f}" if value >= 100.0 else f"{value:,.3g}"
        return Cell(f"{text} {self.unit}".strip(), value)


@dataclass(frozen=True, slots=True)
class Use:
    """Frames that have to be paid for.

    Attributes:
        labels: Labelled frames.
        synthetic: Synthetic frames.
    """

    labels: float
    synthetic: float

    def cost(self, prices: Prices) -> float | None:
        """Return what they cost, None where synthetic frames have no price."""
        if self.synthetic and prices.synthetic is None:
            return None
        return self.labels * prices.label + self.synthetic * (prices.synthetic or 0.0)


def costs(studies: Sequence[Study], prices: Prices | None) -> Section | Omitted:
    """Return accuracy over money."""
    if prices is None:
        return Omitted(_TITLE, f"no price of a label was given (--cost {FORM})")
    if not any(group.seeds for study in studies for group in study.groups):
        return Omitted(_TITLE, "no study with a finished run was given")
    synthetic = "not given" if prices.synthetic is None else prices.money(prices.synthetic).text
    given = f"As given with --cost: a labelled frame {prices.money(prices.label).text}; a synthetic frame {synthetic}."
    blocks = [Text(given), *(block for study in studies for block in _blocks(study, prices))]
    return Section("cost", _TITLE, "What accuracy costs at your prices.", tuple(blocks))


def _blocks(study: Study, prices: Prices) -> Iterator[Block]:
    if left_out := [arm for arm in study.arms if any(_cost(study, g, prices) is None for g in study.groups if g.arm == arm)]:
        names = ", ".join(left_out)
        why = "synthetic frames have no price (--cost label=PRICE,synthetic=PRICE)"
        if _frames(study) is None:
            why = (
                "study.json does not say how many synthetic frames they have; the same scale command writes it and trains nothing"
            )
        yield Text(f"{study.name}: without {names}: {why}.", is_warning=True)
    places = list(dict.fromkeys((group.dataset, group.budget) for group in study.groups if group.seeds))
    drawn = [place for place in places if len(_amounts(study, *place, prices)) > 1]
    if drawn:
        yield Panels(f"{study.name}: IoU over money", tuple(_figure(study, *place, prices) for place in drawn), _NOTE)
    if rows := [row for curve in study.entries("curves") for row in _next_point(study, curve, prices)]:
        yield table(f"{study.name}: what the next IoU point costs", _NEXT_HEADS, rows, _NEXT_NOTE)
    for place in places:
        yield _table(study, *place, prices)


def _amounts(study: Study, dataset: str, budget: str, prices: Prices) -> set[float]:
    """Return what the finished runs of a place cost."""
    found = (_cost(study, group, prices) for group in study.part(dataset, budget) if known(group.scores["iou"]))
    return {cost for cost in found if cost is not None}


def _figure(study: Study, dataset: str, budget: str, prices: Prices) -> Figure:
    groups = [group for group in study.part(dataset, budget) if known(group.scores["iou"])]
    lines = [_series(study, arm, [group for group in groups if group.arm == arm], prices) for arm in study.arms]
    shown, title = [line for line in lines if line.points], f"{dataset}, {budget}"
    x = Axis(f"cost, {prices.unit}" if prices.unit else "cost", min(_amounts(study, dataset, budget, prices)) > 0)
    is_smoke = any(group.is_smoke for group in groups)
    svg = xy_chart(shown, x, Axis("test IoU, %", within=(0.0, 100.0)), title=f"IoU over money, {title}", is_smoke=is_smoke)
    return Figure(title, svg, [{"arm": line.name, "cost_iou": [[p.x, p.y] for p in line.points]} for line in shown])


def _series(study: Study, arm: str, groups: Sequence[Group], prices: Prices) -> Series:
    found = ((_cost(study, group, prices), group) for group in groups)
    points = [point_of(cost, group.seeds, group.scores["iou"]) for cost, group in found if cost is not None]
    return Series(arm, study.ink(arm), tuple(sorted(points, key=lambda point: point.x)))


def _table(study: Study, dataset: str, budget: str, prices: Prices) -> Table:
    """Return IoU and cost of every arm at every label count."""
    groups = study.part(dataset, budget)
    sizes, rows = sorted({study.size(group) for group in groups}), []
    for arm in dict.fromkeys(group.arm for group in groups):
        of_size = {study.size(group): _paid(study, group, prices) for group in groups if group.arm == arm}
        if any(cell is not NOTHING for cell in of_size.values()):
            rows.append([word(arm), *(of_size.get(size, NOTHING) for size in sizes)])
    heads = ("arm", *(f"{labels_cell(size).text} labels" for size in sizes))
    return table(f"{study.name}: {dataset}, {budget}, test IoU in percent for its cost", heads, rows)


def _paid(study: Study, group: Group, prices: Prices) -> Cell:
    cost = _cost(study, group, prices)
    if not group.seeds or cost is None:
        return NOTHING
    iou, money = mean(group.scores["iou"], 1), prices.money(cost)
    return Cell(f"{iou.text} for {money.text}", {"iou": iou.value, "cost": cost})


def _next_point(study: Study, curve: Mapping[str, Any], prices: Prices) -> Iterator[list[Cell]]:
    """Yield what one more point of IoU costs, where the frames for it are stated."""
    more = finite(curve.get("frames_for_one_point"))
    if more is None or not states_law(curve):
        return
    arm, size = curve["arm"], float(curve["sizes"][-1])
    now, then = (_use(study, curve["dataset"], arm, labels) for labels in (size, size + more))
    if now is None or then is None:
        return
    use = Use(then.labels - now.labels, then.synthetic - now.synthetic)
    if (cost := use.cost(prices)) is not None:
        names = [word(curve[key]) for key in ("dataset", "budget", "arm")]
        yield [*names, labels_cell(size), count(round(use.labels)), count(round(use.synthetic)), prices.money(cost)]


def _cost(study: Study, group: Group, prices: Prices) -> float | None:
    """Return what a group's frames cost, None where that is not known."""
    use = _use(study, group.dataset, group.arm, study.size(group))
    return None if use is None else use.cost(prices)


def _use(study: Study, dataset: str, arm: str, labels: float) -> Use | None:
    """Return what an arm uses with a number of labels, None where its study does not say."""
    recipe = next(entry for entry in study.recipe["arms"] if entry["name"] == arm)
    if recipe.get("synthesize") is None:
        return Use(labels, 0.0)
    frames = _frames(study)
    if frames is None:
        return None
    made = float(frames[dataset]["synthetic"][arm])
    if arm not in frames[dataset]["rendered"]:
        return Use(labels, round(made * labels / frames[dataset]["train"]))
    return Use(labels if recipe["real_share"] is not None else 0.0, made)


def _frames(study: Study) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = study.source.content.get("frames")
    return found


def _amount(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0.0):
        raise RecipeError(f"--cost {key} must be a number >= 0, got {text}")
    return value
