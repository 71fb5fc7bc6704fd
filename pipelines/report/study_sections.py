"""What a study found in numbers: arms with their differences, the endpoint, and training on one set for another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from statistics import stdev
from typing import Any

from pipelines.report.blocks import Block, Cell, Omitted, Section, Table, Text, table
from pipelines.report.cells import NOTHING, count, difference, finite, interval_of, mean, number, p_value, word
from pipelines.report.study import Group, Study, known, labels_cell, seeds_cell
from pipelines.scale_table import MOST_P

_BESIDE_NOTE = (
    "Percent and points; Pd at Fa: the best at or below it (10\u207b\u2076) over thresholds of test frames; clean: without test "
    "frames that have a near duplicate elsewhere. Paired by seed, not corrected for their number."
)
_ANSWER_NOTE = (
    "Points of test IoU; 95 % t interval over seeds, bold where Holm's p is below 0.05; p: paired t test; flips: exact over "
    "flips of the signs, from 8 pairs on. Could see: the smallest difference 80 % of such studies would find. Collapsed seeds, "
    "which say background everywhere, stay in the means."
)
_ZERO_LABEL_NOTE = (
    "Percent; Fa in 10\u207b\u2076 of all pixels; test list, native size; mean \u00b1 half the 95 % t interval over pretraining "
    "seeds. At probability 0.5, which no label has chosen; chosen: at the threshold of highest IoU on the validation list."
)
_NOTE = (
    "Percent; Fa in 10\u207b\u2076 of all pixels; canonical scores at native size. Mean \u00b1 half the 95 % t interval over "
    "seeds; one or two seeds stand as bare values. Bold: the interval of the paired difference excludes zero. p: two-sided "
    "paired t test, not corrected for the number of rows. Could see: the smallest difference 80 % of such studies would find. "
    "Only the first budget, and the endpoint where there is one, were fixed beforehand; all else is exploratory. "
    "Clean: without test frames that have a near duplicate elsewhere. Collapsed seeds, which say background everywhere, stay in "
    "the means."
)


def arms(studies: Sequence[Study]) -> Section | Omitted:
    """Return every arm at every size with its difference to the reference."""
    title = "Arms, sizes and differences"
    if not studies:
        return Omitted(title, "no folder of pipelines.scale was given")
    blocks: list[Block] = []
    for study, (dataset, budget) in _parts(studies):
        blocks.append(_arm_table(study, dataset, budget))
    for study in studies:
        if not study.comparisons:
            blocks.append(Text(f"{study.name}: its study.json has no paired differences; the scale command writes them.", True))
    return Section("arms", title, _NOTE, tuple(blocks))


def _parts(studies: Sequence[Study]) -> Iterator[tuple[Study, tuple[str, str]]]:
    for study in studies:
        for dataset, budget in product(study.datasets, study.budgets):
            if study.part(dataset, budget):
                yield study, (dataset, budget)


def _arm_table(study: Study, dataset: str, budget: str) -> Table:
    found = [study.comparisons.get(group.key) for group in study.part(dataset, budget)]
    reference = next((entry["reference"] for entry in found if entry), study.reference)
    heads = ["arm", "labels", "frames", "steps", "init", "seeds", "IoU", f"IoU minus {reference}", "p", "could see"]
    heads += ["IoU, clean", "nIoU", "Pd", "Fa", "validation IoU", "collapsed", "remark"]
    rows = []
    for group, entry in zip(study.part(dataset, budget), found, strict=True):
        row = [word(group.arm), labels_cell(group.labels), count(group.num_frames), count(group.steps), word(group.init)]
        row += [seeds_cell(group), mean(group.scores["iou"]), *_compared(entry)]
        row += [mean(group.scores[name]) for name in ("clean", "niou", "pd", "fa", "validation")]
        rows.append([*row, _collapsed(group), word(_remark(group))])
    return table(f"{study.name}: {dataset}, {budget} ({study.budgets[budget]})", heads, rows)


def _collapsed(group: Group | None) -> Cell:
    return NOTHING if group is None else Cell(f"{group.num_collapsed} of {len(group.seeds)}", group.num_collapsed)


def _compared(entry: Mapping[str, Any] | None) -> list[Cell]:
    if entry is None:
        return [NOTHING, NOTHING, NOTHING]
    found = difference(entry["differences"], entry.get("low"), entry.get("high"))
    return [found, p_value(entry.get("p")), number(entry.get("could_see"), 1)]


def _remark(group: Group) -> str:
    remarks = []
    if not group.seeds:
        remarks.append("not run")
    if group.is_smoke:
        remarks.append("smoke, not evidence")
    if group.doubt:
        remarks.append(group.doubt)
    return ", ".join(remarks)


def endpoint(studies: Sequence[Study]) -> Section | Omitted:
    """Return the question that fresh seeds decided."""
    title = "The primary endpoint"
    found = [study for study in studies if study.source.content.get("endpoint")]
    if not found:
        return Omitted(title, "no study that asks one question beforehand was given")
    blocks = tuple(block for study in found for block in _endpoint_blocks(study))
    return Section("endpoint", title, "One question, decided before test lists are looked at.", blocks)


def _endpoint_blocks(study: Study) -> Iterator[Block]:
    entry = study.source.content["endpoint"]
    if entry["chosen"] is None:
        yield Text(f"{study.name}: nothing is chosen yet: {entry.get('why_not', 'no reason recorded')}.", is_warning=True)
        return
    places = ", ".join(f"{name} at {labels_cell(labels).text} labels" for name, labels in entry["sets"].items())
    seeds_a, seeds_b = (", ".join(map(str, entry[key])) for key in ("seeds_a", "seeds_b"))
    reference, chosen, results = entry["reference"], entry["chosen"], entry["results"]
    yield Text(
        f"{study.name}: fixed beforehand: {places}, against {reference}. Chosen on validation with seeds {seeds_a}: {chosen}. "
        f"{'Decided' if results else 'To be decided'} once on test by fresh seeds {seeds_b}."
    )
    if not results:
        yield Text(f"{study.name}: the fresh seeds are not finished; there is no answer yet.", is_warning=True)
        return
    heads = ["data set", "labels", f"IoU of {chosen} minus {reference}", "p", "p, Holm", "p, flips", "could see"]
    heads += [f"collapsed, {reference}", f"collapsed, {chosen}", "remark"]
    yield table(
        "Answer of the fresh seeds", heads, [_answer(result, study.fresh[result["dataset"]]) for result in results], _ANSWER_NOTE
    )
    if beside := [row for result in results for row in _beside(result)]:
        heads = ["data set", "asked beside it", reference, chosen, "difference"]
        yield table("The same seeds, exploratory", heads, beside, _BESIDE_NOTE)


def _answer(result: Mapping[str, Any], groups: Mapping[str, Group]) -> list[Cell]:
    """Return an answer with what the seeds could have shown, and how their training went."""
    held, found = finite(result.get("p_holm")), difference(result["differences"], result.get("low"), result.get("high"))
    place = [word(result["dataset"]), labels_cell(result["labels"])]
    found = replace(found, is_strong=held is not None and held < MOST_P)
    cells = [*place, found, *(p_value(result.get(key)) for key in ("p", "p_holm", "p_flips"))]
    cells += [number(result.get("could_see"), 1), *(_collapsed(groups.get(role)) for role in ("reference", "chosen"))]
    remarks = [f"{group.arm}: {remark}" for group in groups.values() if (remark := _remark(group))]
    return [*cells, word("; ".join(remarks))]


def _beside(result: Mapping[str, Any]) -> Iterator[list[Cell]]:
    """Yield what was asked beside the answer: the arms themselves, how far their seeds spread, and paired differences."""
    groups, name = result.get("groups"), word(result["dataset"])
    if groups is None:
        return
    iou = [groups[key]["scores"]["iou"] for key in ("reference", "chosen")]
    yield [name, word("IoU"), *map(mean, iou), NOTHING]
    if min(map(len, iou)) > 1:
        yield [name, word("standard deviation of IoU over seeds"), *(number(stdev(values)) for values in iou), NOTHING]
    for what, values in result["secondary"].items():
        low, high = interval_of(values) or (None, None)
        yield [name, word(what), NOTHING, NOTHING, difference(values, low, high)]


def zero_labels(studies: Sequence[Study]) -> Section | Omitted:
    """Return what pretrained networks find before they are fine-tuned."""
    title = "Before any fine-tuning"
    found = [(study, entries) for study in studies if (entries := study.entries("zero_labels"))]
    if not found:
        return Omitted(title, "no study that pretrains on synthetic targets was given, or it was made before these were tested")
    heads = ("data set", "arm", "seeds", "IoU", "nIoU", "Pd", "Fa", "IoU, chosen", "Pd, chosen", "Fa, chosen")
    blocks: list[Block] = []
    for study, entries in found:
        rows = []
        for entry in entries:
            cells = [word(entry["dataset"]), word(entry["arm"]), count(len(entry["seeds"]))]
            cells += [mean(entry["scores"][name]) for name in ("iou", "niou", "pd", "fa")]
            rows.append([*cells, *(mean(entry["chosen"][name]) for name in ("iou", "pd", "fa"))])
        blocks.append(table(study.name, heads, rows, _ZERO_LABEL_NOTE))
    lead = "Maps of pretrained networks, which have seen synthetic targets only and no label."
    return Section("untuned", title, lead, tuple(blocks))


def cross_sets(studies: Sequence[Study]) -> Section | Omitted:
    """Return what training on one set gives on another, with most labels."""
    title = "From one data set to another"
    if not any(group.other_iou for study in studies for group in study.groups):
        return Omitted(title, "no study with two data sets was given")
    blocks: list[Block] = []
    for study in studies:
        for budget in study.budgets:
            blocks.append(_matrix(study, budget))
    lead = (
        "Test IoU in percent at the largest label count, training set \u2192 test set. A gain at home that vanishes abroad is "
        "style, not skill. Clean: without test frames that have a near duplicate elsewhere."
    )
    return Section("cross", title, lead, tuple(blocks))


def _matrix(study: Study, budget: str) -> Table:
    pairs = sorted(product(study.datasets, study.datasets), key=lambda pair: pair[0] != pair[1])
    heads = ["arm", *(f"{a} \u2192 {b}" for a, b in pairs), *(f"{a} \u2192 {a}, clean" for a in study.datasets)]
    rows = []
    for arm in study.arms:
        most = {name: _most(study, name, budget, arm) for name in study.datasets}
        cells = [_crossed(most[a], b) for a, b in pairs]
        cells += [_crossed(most[a], "clean") for a in study.datasets]
        rows.append([word(arm), *cells])
    return table(f"{study.name}, {budget}", heads, rows)


def _most(study: Study, dataset: str, budget: str, arm: str) -> Group | None:
    groups = [group for group in study.part(dataset, budget) if group.arm == arm]
    return max(groups, key=study.size, default=None)


def _crossed(group: Group | None, tested: str) -> Cell:
    if group is None:
        return NOTHING
    own = {group.dataset: group.scores["iou"], "clean": group.scores["clean"]}
    values = own.get(tested, group.other_iou.get(tested, ()))
    numbers = known(values)
    return mean(values, 1, shade=sum(numbers) / len(numbers) / 100.0 if numbers else None)
