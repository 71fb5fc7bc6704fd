"""study.md: the tables of a study, what labels buy, and the question that fresh seeds decide, for people."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from finetune.metrics.intervals import seed_interval
from pipelines.scale_curves import Price
from pipelines.scale_endpoint import Confirmation
from pipelines.scale_findings import Findings
from pipelines.scale_labels import LabelRatio
from pipelines.scale_recipe import Budget, DataSet, Endpoint, StudyRecipe
from pipelines.scale_table import MIN_SEEDS, answer_text, difference_text, table_of
from pipelines.scale_zero_label import zero_label_lines

_LEGEND = """\
Every run trains on the training frames without the validation list, takes its last weights or the best on validation as its
recipe says, chooses its threshold on validation and is tested once at native size (canonical mode). Percent; Fa in 1e-6. Values
are means over seeds +- half the 95 % t interval; differences are paired by seed, bold where their interval excludes zero; *could
see* is the smallest difference that 80 % of such studies would find. Only the first budget and, where there is one, the question
that fresh seeds decide were fixed beforehand (its answer is bold only where Holm's p is below 0.05): everything else is
exploratory, without correction for its number. *clean*:
without the test frames that have a near duplicate among the others. *Pd at Fa*: the best at or below it over thresholds of test
frames, which describes and chooses nothing. Steps with a star: not converged, the last fifth of training
brought more than 5 % of the whole fall of the loss; with a question mark: convergence unknown, as fewer than three seeds tell.
Collapsed seeds stay in the means."""


def page_of(found: Findings) -> Iterator[str]:
    """Yield the lines of study.md."""
    study, (num_done, num_planned) = found.study, found.counts
    yield from (f"# {study.name}", "", f"    {found.command}", "")
    yield from (f"{num_done} of {num_planned} runs are finished.", "") if num_done < num_planned else ()
    for source in found.known:
        yield from (f"{source['runs']} runs were done elsewhere: {source['name']}, sha256 {source['sha256'][:12]}.", "")
    if len(study.seeds) < MIN_SEEDS:
        yield from (f"**{len(study.seeds)} seeds: smoke, not evidence.**", "")
    yield from (_LEGEND, "", "**Arms**", "")
    yield from (f"- {arm.name}: {arm.about}" for arm in study.arms)
    yield from _endpoint_lines(found)
    yield from zero_label_lines(found.zero_labels)
    for dataset in study.sets:
        for budget in study.budgets:
            yield from _tables(found, dataset, budget)
            yield from _law_lines(found, dataset, budget)
            yield from _ratio_lines(found, dataset, budget)
            yield from _transfer_lines(found, dataset, budget)
    yield ""


def _tables(found: Findings, dataset: DataSet, budget: Budget) -> Iterator[str]:
    """Yield one table for each label count."""
    yield from ("", f"## {dataset.name}, {budget.name}: {_length(found, dataset, budget)}", "")
    for labels in dataset.labels:
        if len(dataset.labels) > 1:
            yield from ("", f"**{'all labels' if labels is None else f'{labels} labels'}**", "")
        place = (dataset.name, budget.name, labels)
        groups = [group for group in found.groups if (group.dataset, group.budget, group.labels) == place]
        yield from table_of(found.study, dataset.name, groups, len(found.study.seeds))


def _length(found: Findings, dataset: DataSet, budget: Budget) -> str:
    """Return how long arms train there, in words."""
    groups = [group for group in found.groups if (group.dataset, group.budget) == (dataset.name, budget.name)]
    if budget.like is None and len({group.steps for group in groups}) == 1:
        return "all arms take equally many steps"
    length = f"{found.study.steps} steps" if budget.like is None else f"as many passes over its frames as {budget.like}"
    return length + (", and an arm's extra steps on top" if any(arm.extra_steps for arm in found.study.arms) else "")


def _law_lines(found: Findings, dataset: DataSet, budget: Budget) -> Iterator[str]:
    """Yield the laws of the curves over labels, refusals included."""
    curves = [c for c in found.curves if (c.dataset, c.budget) == (dataset.name, budget.name) and c.curve is not None]
    if curves:
        yield from ("", "**What labels buy** (e = 1 - IoU = c + a labels^-b; what the rules forbid is not stated)", "")
    for curve in curves:
        assert curve.judgement is not None
        b, c = curve.judgement.exponent, curve.judgement.floor
        if curve.law is not None and b is not None and c is not None:
            exponent = f"b {curve.law.exponent:.2f} [{b.low:.2f}, {b.high:.2f}]"
            yield f"- {curve.arm}: {exponent}, c {curve.law.floor:.3f} [{c.low:.3f}, {c.high:.3f}]"
        yield from (f"- {curve.arm}: {refusal}" for refusal in curve.refusals)
        if curve.price is not None:
            yield f"  - {_price_text(curve.price)}"
        if curve.prediction is not None and curve.curve is not None:
            low, high = (100.0 * (1.0 - error) for error in reversed(curve.prediction))
            found_iou = 100.0 * (1.0 - float(curve.curve.means[-1]))
            size = f"{curve.curve.sizes[-1]:g} labels"
            yield f"  - without its largest size the law says IoU {low:.1f} to {high:.1f} at {size}; found: {found_iou:.1f}"


def _ratio_lines(found: Findings, dataset: DataSet, budget: Budget) -> Iterator[str]:
    """Yield what starts are worth in labels."""
    ratios = [(c, ratio) for c, ratio in found.ratios if (c.dataset, c.budget) == (dataset.name, budget.name)]
    if ratios:
        yield from ("", f"**What an arm is worth in labels of {found.study.reference}** (never extrapolated)", "")
    yield from (f"- {curve.arm} at {ratio.size:g} labels: {_ratio_text(ratio)}" for curve, ratio in ratios)


def _transfer_lines(found: Findings, dataset: DataSet, budget: Budget) -> Iterator[str]:
    """Yield what the transfer law says, or why it is not stated."""
    for *place, verdict in found.transfers:
        if place == [dataset.name, budget.name]:
            yield from ("", "**What rendered frames buy** (e = delta (gamma + n^-alpha) labels^-beta)", "")
            if verdict.law is not None and verdict.gap is not None:
                law, gap = verdict.law, f"[{verdict.gap.low:.3f}, {verdict.gap.high:.3f}]"
                yield f"- gamma {law.gamma:.3f} {gap}, alpha {law.alpha:.2f}, beta {law.beta:.2f}, delta {law.delta:.2f}"
            yield from (f"- {sentence}" for sentence in verdict.sentences)


def _price_text(price: Price) -> str:
    if price.frames is None:
        return str(price.refusal)
    text = f"one more point of IoU takes about {price.frames:.0f} more frames"
    if price.interval is None:
        return f"{text}, no interval: without some seed no number of them buys it"
    return f"{text} [{price.interval.low:.0f}, {price.interval.high:.0f}]"


def _ratio_text(ratio: LabelRatio) -> str:
    value = f"{'' if ratio.bound == '=' else ratio.bound + ' '}{ratio.ratio:.2f} times"
    if ratio.interval is None:
        return value + ", no interval"
    low, high = ratio.interval
    return f"{value} [{low:.2f}, {high:.2f}]" + ("" if low > 1 or high < 1 else ", no evidence of a difference")


def _endpoint_lines(found: Findings) -> Iterator[str]:
    endpoint, choice = found.study.endpoint, found.choice
    if endpoint is None or choice is None:
        return
    yield from ("", "## The question that fresh seeds decide", "")
    yield (
        f"Largest label count at which {endpoint.reference} stands {endpoint.headroom:g} points of validation IoU below its\n"
        f"value with most labels; the best of {', '.join(endpoint.candidates)} there on validation (seeds\n"
        f"{_seeds(endpoint.selection)}); its test IoU minus that of {endpoint.reference} with seeds {_seeds(endpoint.seeds)}, "
        "Holm over data sets."
    )
    yield ""
    if isinstance(choice, str):
        yield f"Not yet chosen: {choice}."
        return
    counts = ", ".join(f"{name} {'all' if labels is None else labels}" for name, labels in choice.labels.items())
    means = ", ".join(f"{arm} {value:.2f}" for arm, value in choice.validation_iou.items())
    yield from (f"Chosen: **{choice.arm}** at {counts} labels (mean validation IoU: {means}).", "")
    if not found.confirmed:
        finished, planned = found.fresh_counts
        yield f"{finished} of {planned} runs with fresh seeds are finished; what they say is shown when all are."
    for confirmation in found.confirmed:
        yield f"- {confirmation.comparison.dataset}: {_answer(confirmation)}"
    for confirmation in found.confirmed:
        yield from _secondary_lines(found.study, endpoint, confirmation)


def _answer(confirmation: Confirmation) -> str:
    comparison, p_holm = confirmation.comparison, confirmation.p_holm
    pairs = f"{len(comparison.seeds)} pairs"
    if comparison.low is None or comparison.high is None:
        return f"{pairs}: too few for an interval"
    others = {"Holm": p_holm, "flips of signs": comparison.p_flips}
    beside = ", ".join(f"{name} {p:.4f}" for name, p in others.items() if p is not None)
    p_values = f"p {comparison.p:.4f}" + (f" ({beside})" if beside else "")
    text = f"{answer_text(comparison.low, comparison.high, p_holm)} points, {pairs}, {p_values}"
    return f"{text}; could see {comparison.could_see:.1f}"


def _secondary_lines(study: StudyRecipe, endpoint: Endpoint, confirmation: Confirmation) -> Iterator[str]:
    """Yield the two arms with fresh seeds, how far their seeds spread, and the secondary differences."""
    reference, chosen = confirmation.reference, confirmation.chosen
    if min(len(reference.seeds), len(chosen.seeds)) < MIN_SEEDS:
        return
    yield from ("", f"Fresh seeds on {reference.dataset}; beside the answer, exploratory:", "")
    yield from table_of(study, reference.dataset, [reference, chosen], len(endpoint.seeds))
    spread = (f"{group.arm} {statistics.stdev(group.scores['iou']):.1f}" for group in (reference, chosen))
    yield from ("", f"- standard deviation of IoU over seeds: {', '.join(spread)}")
    for name, differences in confirmation.secondary().items():
        if len(differences) >= MIN_SEEDS:
            yield f"- {name}: {difference_text(*seed_interval(differences))}"


def _seeds(seeds: Sequence[int]) -> str:
    is_run = list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))) and len(seeds) > 2
    return f"{seeds[0]} to {seeds[-1]}" if is_run else ", ".join(map(str, seeds))
