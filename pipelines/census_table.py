"""The realism card on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synth.census.definitions import PERCENTILES, STATISTICS

NUM_GIVEAWAYS = 6
_PERCENTS = "/".join(map(str, PERCENTILES)) + " %"


def print_card(card: Mapping[str, Any]) -> None:
    """Print a card of :func:`synth.census.realism_card` as tables for a reader."""
    sets = [entry for entry in (card["subject"], card["reference"]) if entry is not None]
    for entry in sets:
        print(_headline(entry))
    print()
    distances = card["comparison"]["distances"] if card["comparison"] else None
    _print_rows([_header(sets, distances is not None), *_rows(sets, distances)])
    if distances is not None:
        print("KS chance: what equal distributions exceed in 5 % of cases at these numbers, were all values independent")
        _print_comparison(card["comparison"], card["subject"]["name"])


def _headline(entry: Mapping[str, Any]) -> str:
    counted = f"{entry['num_frames']} frames"
    if entry["num_frames"] < entry["num_frames_found"]:
        counted = f"{entry['num_frames']} of {entry['num_frames_found']} frames"
    targets = (
        f"{entry['num_targets']} targets in {entry['num_labelled']} labelled ones" if entry["num_labelled"] else "unlabelled"
    )
    return f"{entry['name']}: {counted}, {targets} ({entry['about']})"


def _header(sets: Sequence[Mapping[str, Any]], compared: bool) -> list[str]:
    cells = ["statistic", *(f"{entry['name']} {_PERCENTS}" for entry in sets)]
    return [*cells, "KS", "chance", "goal", "W1"] if compared else cells


def _rows(sets: Sequence[Mapping[str, Any]], distances: Mapping[str, Any] | None) -> list[list[str]]:
    rows: list[list[str]] = []
    for statistic in STATISTICS:
        row = [statistic.title, *(_percentiles(entry["statistics"][statistic.name]) for entry in sets)]
        if distances is not None:
            distance = distances[statistic.name]
            numbers = (_number(distance[key], digits) for key, digits in (("ks", "{:.2f}"), ("ks_chance", "{:.2f}")))
            row += [*numbers, _goal(distance["ks_goal"], distance["goal_met"]), _number(distance["wasserstein"], "{:.3g}")]
        rows.append(row)
    return rows


def _print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print cells in columns, the first flush left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _print_comparison(comparison: Mapping[str, Any], subject: str) -> None:
    whole, shape = (_number(comparison[key], "{:.1f}") for key in ("psd_distance_db", "psd_shape_distance_db"))
    print(f"\nlog power spectrum: {whole} dB rms apart, {shape} dB in shape (medians, 0.02-0.25 cycles/px)\n")
    print("64x64 target-free patches told apart (AUC; 0.5 cannot be told apart)")
    for outcome in comparison["classifiers"]:
        print(f"  {outcome['classifier']:<8} {outcome['frames']:<11} {_verdict(outcome)}")
    for outcome in comparison["classifiers"]:
        if outcome["giveaways"]:
            _print_giveaways(outcome, subject)


def _verdict(outcome: Mapping[str, Any]) -> str:
    if outcome["not_run"]:
        return f"not run: {outcome['not_run']}"
    low, high = outcome["auc_interval"]
    counts = (
        f"{outcome['num_patches_subject']} against {outcome['num_patches_reference']} patches, {outcome['num_groups']} groups"
    )
    return f"{outcome['auc']:.3f} ({low:.3f}-{high:.3f})  goal {_goal(outcome['auc_goal'], outcome['goal_met'])}  ({counts})"


def _print_giveaways(outcome: Mapping[str, Any], subject: str) -> None:
    print(f"\nwhat gives {subject} away (linear, {outcome['frames']} frames): largest standardised weights")
    for entry in outcome["giveaways"][:NUM_GIVEAWAYS]:
        side = "higher" if entry["weight"] > 0 else "lower"
        print(f"  {entry['weight']:+.2f}  {entry['name']} ({side} in {subject}, all else equal; alone {entry['auc_alone']:.2f})")


def _percentiles(entry: Mapping[str, Any]) -> str:
    if not entry["num"]:
        return "-"
    return "/".join(_short(value) for value in entry["percentiles"].values())


def _short(value: float) -> str:
    """Return three significant digits without an exponent."""
    magnitude = abs(value)
    if magnitude >= 99.95:
        return f"{value:.0f}"
    if magnitude >= 9.995:
        return f"{value:.1f}".removesuffix(".0")
    if magnitude >= 0.0995 or value == 0.0:
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _number(value: float | None, template: str) -> str:
    return "-" if value is None else template.format(value)


def _goal(goal: float | None, met: bool | None) -> str:
    if goal is None:
        return ""
    return f"<= {goal:g}" if met is None else f"<= {goal:g} {'met' if met else 'missed'}"
