"""The report of some inputs: a pure function, so that the same inputs give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.report.blocks import Omitted, Report, Section
from pipelines.report.cost_sections import Prices, costs
from pipelines.report.data_sections import leakage, realism
from pipelines.report.evaluation_sections import detectors, pictures, tested_sets
from pipelines.report.evidence_sections import pd_fa, probes, strata
from pipelines.report.headline import headline, title_of
from pipelines.report.inputs import Source
from pipelines.report.law_sections import laws, ratios
from pipelines.report.mixing import refuse_mixed
from pipelines.report.points import points_of
from pipelines.report.provenance_sections import commands, provenance
from pipelines.report.run_sections import compute, environment, runs
from pipelines.report.study import studies_of
from pipelines.report.study_curves import curves
from pipelines.report.study_sections import arms, cross_sets, endpoint, zero_labels
from pipelines.report.transfer_sections import transfers
from synth.errors import RefusalError


def build_report(sources: Sequence[Source], prices: Prices | None = None) -> Report:
    """Return the report.

    Args:
        sources: Inputs, as :func:`pipelines.report.inputs.read_sources` orders them.
        prices: What a label and a synthetic frame cost, or None: nothing is said of money.

    Raises:
        RefusalError: They were made from different data, or one is not as this version writes it.
    """
    try:
        return _build(sources, prices)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        names = ", ".join(source.name for source in sources)
        raise RefusalError(f"{names}: a file is not as this version writes it ({type(error).__name__}: {error})") from error


def _build(sources: Sequence[Source], prices: Prices | None) -> Report:
    of = {kind: [s for s in sources if s.kind.name == kind] for kind in ("evaluation", "score", "probe", "card", "audit", "run")}
    studies = studies_of(sources)
    refuse_mixed(sources, studies)
    tested = tested_sets(of["evaluation"])
    found: list[Section | Omitted] = [
        curves(studies),
        arms(studies),
        endpoint(studies),
        zero_labels(studies),
        laws(studies),
        ratios(studies),
        transfers(studies),
        costs(studies, prices),
        cross_sets(studies),
        detectors(of["evaluation"]),
        pd_fa(studies, tested, of["score"], of["probe"]),
        strata(studies, tested, of["score"]),
        pictures(of["evaluation"]),
        probes(of["probe"]),
        realism(of["card"]),
        leakage(of["audit"]),
        runs(of["run"]),
        compute(studies, of["evaluation"], of["run"]),
        environment(sources),
        provenance(studies, sources),
        commands(studies, sources, prices),
    ]
    return Report(
        title=title_of(studies, tested, sources),
        headline=headline(studies, tested, sources),
        is_smoke=any(group.is_smoke for study in studies for group in study.groups) or any(entry.smoke for entry in tested),
        sections=tuple(entry for entry in found if isinstance(entry, Section)),
        omitted=tuple(entry for entry in found if isinstance(entry, Omitted)),
        points=points_of(studies, tested),
        inputs=tuple(source.to_dict() for source in sources),
    )
