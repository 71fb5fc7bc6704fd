"""The few sentences at the top, made from the numbers and saying no more than the refusals allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.report.cells import excludes_zero, finite, p_value, show, span
from pipelines.report.evaluation_sections import NATIVE, Tested
from pipelines.report.inputs import Source
from pipelines.report.law_sections import states_law
from pipelines.report.study import Study, labels_cell
from pipelines.scale_table import MOST_P

MOST_SENTENCES = 4


def headline(studies: Sequence[Study], tested: Sequence[Tested], sources: Sequence[Source]) -> tuple[str, ...]:
    """Return all that was asked beforehand, then up to four sentences of what else was found and what there is at all."""
    names = {study: f"{study.name}: " if len(studies) > 1 else "" for study in studies}
    asked = [names[study] + sentence for study in studies for sentence in _asked(study)]
    found: list[str] = []
    for study in studies:
        found += [*(names[study] + sentence for sentence in _answers(study)), _state(study)]
    found += [sentence for entry in tested for sentence in _of_tested(entry)]
    found += [sentence for source in sources for sentence in _of_source(source)]
    return (*asked, *found[:MOST_SENTENCES])


def title_of(studies: Sequence[Study], tested: Sequence[Tested], sources: Sequence[Source]) -> str:
    """Return what the report is about."""
    names = [study.name for study in studies] or [f"Detectors on {entry.data['name']}" for entry in tested[:1]]
    return " and ".join(names or [source.name for source in sources])


def _state(study: Study) -> str:
    there = "all seed results are there"
    if missing := sum(len(group.missing) for group in study.groups):
        there = f"{missing} of {missing + sum(len(group.seeds) for group in study.groups)} seed results are missing"
    smoke = sum(group.is_smoke for group in study.groups)
    caution = f"; {smoke} of {len(study.groups)} cells have one or two seeds, which is smoke and not evidence" if smoke else ""
    sets = f"{len(study.datasets)} data set{'s' * (len(study.datasets) > 1)}"
    return f"{study.name}: {len(study.arms)} arms on {sets}; {there}{caution}."


def _asked(study: Study) -> Iterator[str]:
    """Yield the answer of the endpoint, where there is one."""
    answer = study.source.content.get("endpoint")
    if answer and answer["results"]:
        yield _endpoint_sentence(answer)


def _answers(study: Study) -> Iterator[str]:
    if study.comparisons and not any(_asked(study)):
        yield _comparison_sentence(study)
    yield from _scale_sentences(study)


def _endpoint_sentence(answer: dict[str, Any]) -> str:
    parts = "; ".join(_endpoint_part(result) for result in answer["results"])
    return f"Primary endpoint, test IoU of {answer['chosen']} minus {answer['reference']} on fresh seeds: {parts}."


def _endpoint_part(result: dict[str, Any]) -> str:
    low, high, held = (finite(result.get(key)) for key in ("low", "high", "p_holm"))
    place = f"{result['dataset']} at {labels_cell(result['labels']).text} labels"
    if low is None or high is None:
        return f"{place}, too few seeds for an interval"
    p = "" if held is None else f", Holm p {p_value(held).text}"
    is_clear = excludes_zero(low, high) and held is not None and held < MOST_P
    verdict = "" if is_clear else ", which cannot be told from none"
    return f"{place} {show((low + high) / 2, signed=True)} {span(low, high, signed=True)}{p}{verdict}"


def _comparison_sentence(study: Study) -> str:
    """Return how many differences are clear, budget by budget: the first one is the primary one."""
    known = [entry for entry in study.comparisons.values() if finite(entry.get("low")) is not None]
    if not known:
        return "No paired difference has an interval yet: that needs three seeds of both arms."
    parts = []
    for place, budget in enumerate(study.budgets):
        of_budget = [entry for entry in known if entry["budget"] == budget]
        clear = [entry for entry in of_budget if excludes_zero(entry["low"], entry["high"])]
        if of_budget:
            unequal = "" if study.has_equal_steps(budget) else ", where arms take different numbers of steps"
            largest = _largest(clear) if clear and not place else ""
            parts.append(f"at {budget}{unequal}, {len(clear) or 'none'} of {len(of_budget)}{largest}")
    text = "; ".join(parts)
    return f"Paired differences in test IoU that exclude zero, not corrected for their number: {text}."


def _largest(clear: Sequence[Mapping[str, Any]]) -> str:
    entry = max(clear, key=lambda entry: abs(float(entry["low"]) + float(entry["high"])))
    low, high = float(entry["low"]), float(entry["high"])
    labels = "" if entry.get("labels") is None else f" at {entry['labels']} labels"
    found = f"{show((low + high) / 2, signed=True)} {span(low, high, signed=True)}"
    return f", the largest {entry['arm']} minus {entry['reference']} on {entry['dataset']}{labels}: {found}"


def _scale_sentences(study: Study) -> Iterator[str]:
    curves = study.entries("curves")
    worth = [curve for curve in curves if states_law(curve) and finite(curve.get("frames_for_one_point")) is not None]
    without = [curve for curve in curves if curve.get("law") is None]
    if len(without) == len(curves):
        refused = next((line for curve in curves for line in curve["refusals"]), None)
        if refused is not None:
            yield f"No law of scale is stated: {refused}."
    elif worth or without:
        parts = [_price(worth[0])] if worth else []
        parts += [f"{'no' if worth else 'No'} law for {_places(study, without)}"] if without else []
        yield f"{'; '.join(parts)}."
    ratios = [entry for entry in study.entries("ratios") if finite(entry.get("low")) is not None]
    if ratios:
        yield _worth(study, ratios)


def _worth(study: Study, ratios: Sequence[Mapping[str, Any]]) -> str:
    """Return on how many label ratios there is evidence, and the furthest from 1 on either side."""
    above = [entry for entry in ratios if float(entry["low"]) > 1.0]
    below = [entry for entry in ratios if float(entry["high"]) < 1.0]
    if not above and not below:
        return f"What a start is worth in labels: none of {len(ratios)} ratios can be told from 1."
    parts = [f"{len(above) or 'none'} of {len(ratios)} above it", f"{len(below) or 'none'} below"]
    if above:
        parts[0] += f" ({_ratio(study, max(above, key=_ratio_of))})"
    if below:
        parts[1] += f" ({_ratio(study, min(below, key=_ratio_of))})"
    return f"Label ratios whose interval excludes 1, not corrected for their number: {', '.join(parts)}."


def _ratio_of(entry: Mapping[str, Any]) -> float:
    return float(entry["ratio"])


def _ratio(study: Study, entry: Mapping[str, Any]) -> str:
    budget = f" at {entry['budget']}" if len(study.budgets) > 1 else ""
    place = f"{labels_cell(entry['labels']).text} labels of {entry['dataset']}{budget}"
    return f"{entry['arm']} with {place} is worth {_ratio_of(entry):.2g} times the labels of {entry['reference']}"


def _price(curve: Mapping[str, Any]) -> str:
    frames = float(curve["frames_for_one_point"])
    low, high = curve.get("price_interval") or (None, None)
    within = "no interval" if finite(low) is None or finite(high) is None else span(low, high, 0)
    place = f"{curve['arm']} on {curve['dataset']}"
    return f"One more IoU point would take {place} about {frames:,.0f} more labelled frames, {within}"


def _places(study: Study, curves: Sequence[Mapping[str, Any]]) -> str:
    """Return arms by data set, and by budget where there are several."""
    arms: dict[str, list[str]] = {}
    for curve in curves:
        budget = f" at {curve['budget']}" if len(study.budgets) > 1 else ""
        arms.setdefault(f"{curve['dataset']}{budget}", []).append(curve["arm"])
    return "; ".join(f"{', '.join(names)} on {place}" for place, names in arms.items())


def _of_tested(tested: Tested) -> Iterator[str]:
    if tested.floor:
        yield f"On {tested.data['name']}, {tested.floor[0]}."
        return
    known = [row for row in tested.rows if finite(row["scores"][NATIVE]["iou"]) is not None]
    if known:
        best = max(known, key=lambda row: float(row["scores"][NATIVE]["iou"]))
        yield f"On {tested.data['name']}, {best['name']} ({best['rule']}) has {_scores(best['scores'][NATIVE])}."


def _scores(found: Mapping[str, Any]) -> str:
    return f"IoU {show(found['iou'], 1)} %, Pd {show(found['pd'], 1)} % and Fa {show(found['fa'], 1)} in 10\u207b\u2076"


def _of_source(source: Source) -> Iterator[str]:
    content = source.content
    if source.kind.name == "card" and content.get("comparison"):
        names = f"{content['subject']['name']} from {content['reference']['name']}"
        for outcome in [entry for entry in content["comparison"]["classifiers"] if entry.get("auc") is not None][:1]:
            auc = f"{show(outcome['auc'])} {span(*outcome['auc_interval'])}"
            yield f"A {outcome['classifier']} classifier tells {names} with AUC {auc}; 0.5 is not at all."
    elif source.kind.name == "audit":
        for entry in content["exposures"]:
            known = f"{len(entry['affected'])} of {entry['num_frames']} frames of {entry['name']}"
            yield f"{known} are known outside the test lists, as equal frames or near duplicates."
    elif source.kind.name == "score" and "native" in content["scores"]:
        native = content["scores"]["native"]
        yield f"{source.name}: {_scores(native)} at threshold {native['threshold']:g}."
    elif source.kind.name == "probe":
        chosen = content["detection"]["thresholds"]["chosen"]
        yield f"{source.name}: the network's own maps have {_scores(chosen)}."
    elif source.kind.name == "run":
        state = "finished" if "result.json" in source.files else "unfinished"
        yield f"{source.name}: a run of {content['recipe'].get('name')}, {state}."
