"""What the frames are: the realism card of synthetic ones, and what test lists share with the frames that train."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.report.blocks import Block, Cell, Figure, Omitted, Panels, Picture, Section, Table, table
from pipelines.report.cells import NOTHING, count, finite, number, show, span, word
from pipelines.report.charts import Axis, Point, Row, Series, strip_chart, xy_chart
from pipelines.report.inputs import Source

_AUC_BLIND = 0.5
"""AUC of a classifier that cannot tell two sets apart."""


def realism(cards: Sequence[Source]) -> Section | Omitted:
    """Return realism cards."""
    title = "How real the frames are"
    if not cards:
        return Omitted(title, "no realism card (pipelines.census --out) was given")
    blocks: list[Block] = []
    for card in cards:
        content, name = card.content, card.name
        if figures := tuple(figure for figure in (_spectra(card), _classifiers(card)) if figure is not None):
            blocks.append(Panels(f"{name}: {_about(content)}", figures))
        blocks.append(_statistics(card))
        if (giveaways := _giveaways(card)) is not None:
            blocks.append(giveaways)
        if "census.png" in card.files:
            blocks.append(
                Picture(f"The whole card of {name}", card.files["census.png"], card.sha256("census.png"), is_folded=True)
            )
    lead = "Distances between frames and real ones, and classifiers that try to tell them apart. Goals are wanted, never a gate."
    return Section("realism", title, lead, tuple(blocks))


def _sets(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in (content["subject"], content.get("reference")) if entry is not None]


def _about(content: Mapping[str, Any]) -> str:
    return " against ".join(
        f"{entry['name']} ({entry['num_frames']} of {entry['num_frames_found']} frames)" for entry in _sets(content)
    )


def _spectra(card: Source) -> Figure | None:
    series = []
    for ink, entry in enumerate(_sets(card.content)):
        psd = entry["psd"]
        columns = zip(psd["frequency_cycles_per_px"], psd["p50_db"], psd["p25_db"], psd["p75_db"], strict=True)
        points = tuple(Point(x, finite(y), finite(low), finite(high)) for x, y, low, high in columns)
        series.append(Series(entry["name"], ink, points, marks="last"))
    if not any(point.y is not None for one in series for point in one.points):
        return None
    comparison = card.content.get("comparison") or {}
    apart = show(comparison.get("psd_distance_db"), 1), show(comparison.get("psd_shape_distance_db"), 1)
    note = (
        f"Median frame, band: quartiles. {apart[0]} dB rms apart, {apart[1]} dB in shape."
        if comparison
        else "Median frame, band: quartiles."
    )
    axes = Axis("spatial frequency, cycles/px", True), Axis("power, dB re 1 DN\u00b2 px\u00b2")
    return Figure(
        "Power spectra",
        xy_chart(series, *axes, title=f"power spectra, {card.name}"),
        [dict(e["psd"]) for e in _sets(card.content)],
        note,
    )


def _classifiers(card: Source) -> Figure | None:
    outcomes = (card.content.get("comparison") or {}).get("classifiers", ())
    if not outcomes:
        return None
    rows = [_classifier_row(outcome, ink) for ink, outcome in enumerate(outcomes)]
    axis = Axis("AUC (0.5: cannot be told apart)", within=(0.0, 1.0))
    svg = strip_chart(rows, axis, title=f"classifiers, {card.name}", level=_AUC_BLIND, level_name="alike")
    idle = dict.fromkeys(f"Not run: {outcome['not_run']}." for outcome in outcomes if outcome.get("not_run"))
    data = [{key: value for key, value in outcome.items() if key != "giveaways"} for outcome in outcomes]
    return Figure("Patches told apart?", svg, data, " ".join(idle))


def _classifier_row(outcome: Mapping[str, Any], ink: int) -> Row:
    name = f"{outcome['classifier']}, {outcome['frames']} frames"
    if outcome.get("not_run"):
        return Row(name, ink, None, text="not run")
    low, high = outcome["auc_interval"]
    goal = "" if outcome.get("goal_met") is None else f", goal {'met' if outcome['goal_met'] else 'missed'}"
    return Row(
        name, ink, finite(outcome["auc"]), finite(low), finite(high), text=f"{show(outcome['auc'])} {span(low, high)}{goal}"
    )


def _statistics(card: Source) -> Table:
    content, sets = card.content, _sets(card.content)
    distances = (content.get("comparison") or {}).get("distances")
    heads = ["statistic", "unit", *(f"{entry['name']}, 5/25/50/75/95 %" for entry in sets)]
    heads += ["KS", "by chance", "goal", "met"] if distances else []
    rows = []
    for name, found in sets[0]["statistics"].items():
        about = content.get("definitions", {}).get("statistics", {}).get(name, {})
        row = [
            word(about.get("label", name)),
            word(about.get("unit")),
            *(_percentiles(entry["statistics"][name]) for entry in sets),
        ]
        row += _distance(distances[name]) if distances else []
        rows.append((row, found))
    note = (
        "KS: largest distance of the distribution functions; by chance: what equal distributions exceed in 5 % of cases."
        if distances
        else ""
    )
    return table(f"{card.name}: statistics", heads, [row for row, _ in rows], note)


def _percentiles(entry: Mapping[str, Any]) -> Cell:
    if not entry["num"]:
        return NOTHING
    values = sorted(((float(percent), value) for percent, value in entry["percentiles"].items()))
    return Cell(" / ".join(f"{value:.3g}" for _, value in values), entry["percentiles"])


def _distance(entry: Mapping[str, Any]) -> list[Cell]:
    met = {True: "yes", False: "no"}.get(entry.get("goal_met", "-"), "")
    return [number(entry["ks"]), number(entry["ks_chance"]), number(entry["ks_goal"]), word(met)]


def _giveaways(card: Source) -> Table | None:
    for outcome in (card.content.get("comparison") or {}).get("classifiers", ()):
        if outcome.get("giveaways"):
            rows = [[word(e["name"]), number(e["weight"]), number(e["auc_alone"])] for e in outcome["giveaways"][:8]]
            note = "Log odds per standard deviation of the linear classifier; positive: higher in the frames the card is about."
            return table(f"What gives {card.content['subject']['name']} away", ("descriptor", "weight", "AUC alone"), rows, note)
    return None


def leakage(audits: Sequence[Source]) -> Section | Omitted:
    """Return what test lists share with other frames."""
    title = "Leakage audit"
    if not audits:
        return Omitted(title, "no audit (pipelines.audit --out) was given")
    blocks = [block for audit in audits for block in _audit_blocks(audit)]
    lead = "Frames of test lists that are known elsewhere: by name, equal pixels, or near duplicates (32x32 correlation)."
    return Section("leakage", title, lead, tuple(blocks))


def _audit_blocks(audit: Source) -> Iterator[Block]:
    content = audit.content
    heads = ("test list", "frames", "equal pixels elsewhere", "equal or near duplicate", "share, %", "left without them")
    rows = [
        [
            word(e["name"]),
            count(e["num_frames"]),
            count(len(e["equal"])),
            count(len(e["affected"])),
            number(100.0 * len(e["affected"]) / e["num_frames"] if e["num_frames"] else None, 1),
            count(len(e["clean"])),
        ]
        for e in content["exposures"]
    ]
    yield table(
        f"{audit.name}: test lists", heads, rows, f"Near duplicate: correlation of at least {content.get('threshold', 0.95):g}."
    )
    pair_heads = ("first", "second", "same names", "equal pixels", "near duplicates")
    rows = [
        [word(e["a"]), word(e["b"]), *(count(len(e[key])) for key in ("shared_ids", "equal_pixels", "near_duplicates"))]
        for e in content.get("overlaps", ())
    ]
    yield table(f"{audit.name}: every two lists", pair_heads, rows)
    scene_heads = ("set", "source", "frames", "scenes (groups)", "largest group", "groups cut by splits")
    rows = [
        [word(e["name"]), word(without_folders(content.get("sources", {}).get(e["name"], "")))]
        + [count(e[key]) for key in ("num_frames", "num_groups", "largest", "num_cut")]
        for e in content["groups"]
    ]
    yield table(f"{audit.name}: unique scenes", scene_heads, rows)
    if "pairs.png" in audit.files:
        yield Picture(f"{audit.name}: the most alike pairs", audit.files["pairs.png"], audit.sha256("pairs.png"), is_folded=True)


def without_folders(text: str) -> str:
    """Return a text with absolute paths cut to their last part: the same report on every machine."""
    return re.sub(r"(?<!\S)/(?:[^/\s]+/)+", "", text)
