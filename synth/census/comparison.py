"""One set held against another: every distance, and the classifier tests on all frames and on procedural ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from synth.census.auc import Auc
from synth.census.definitions import STATISTICS
from synth.census.distance import Distance, SpectrumDistance, measure_distance, spectrum_distance
from synth.census.survey import Survey
from synth.census.twosample import Giveaway, Learner, PatchTest, TwoSample, auc_of, cross_validate, prepare_test, two_sample_test

NUM_EXHIBITS = 10
"""Patches shown of each kind."""

Progress = Callable[[str], None]
Frames = Literal["all", "procedural"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One classifier on one choice of frames.

    Attributes:
        classifier: ``linear`` (filter bank, logistic regression) or ``network`` (small convolutional network).
        frames: ``all`` frames of the subject, or its ``procedural`` ones.
        auc: AUC with its interval, or None when not run.
        not_run: Why it was not run, or "".
        num_subject: Patches of the subject, 0 when not run.
        num_reference: Patches of the reference.
        num_groups: Groups of frames they come from.
        giveaways: Every number of the descriptor, largest absolute weight first; empty for the network.
    """

    classifier: Literal["linear", "network"]
    frames: Frames
    auc: Auc | None
    not_run: str = ""
    num_subject: int = 0
    num_reference: int = 0
    num_groups: int = 0
    giveaways: tuple[Giveaway, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Exhibits:
    """Patches to look at, float32 (n, 64, 64) in grey levels of 0..255, each of another group of frames.

    Attributes:
        most_real: Of the subject, those the linear classifier takes most for the reference's.
        least_real: Of the subject, those it is surest about.
        reference: Of the reference, spread evenly over its scores.
        most_real_ids: Frames of ``most_real``.
        least_real_ids: Frames of ``least_real``.
    """

    most_real: npt.NDArray[np.float32]
    least_real: npt.NDArray[np.float32]
    reference: npt.NDArray[np.float32]
    most_real_ids: tuple[str, ...]
    least_real_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A subject held against a reference.

    Attributes:
        distances: Statistic -> distance.
        spectrum: Distance of the median spectra.
        outcomes: Both classifiers on all and on procedural frames.
        exhibits: Patches to look at, or None without a linear test.
    """

    distances: dict[str, Distance]
    spectrum: SpectrumDistance
    outcomes: tuple[Outcome, ...]
    exhibits: Exhibits | None


def compare_surveys(
    subject: Survey, reference: Survey, *, network: Learner | str, seed: int, on_test: Progress = lambda what: None
) -> Comparison:
    """Hold one set against another.

    Args:
        subject: The set to judge.
        reference: The set it is held against.
        network: The second classifier, or why it cannot be run.
        seed: Seed of every draw.
        on_test: Called with a phrase before each test.
    """
    whole = prepare_test(subject, reference, seed=seed)
    tests: tuple[tuple[Frames, PatchTest | str], ...] = (
        ("all", whole),
        ("procedural", _procedural_test(subject, reference, seed)),
    )
    outcomes: list[Outcome] = []
    exhibits: Exhibits | None = None
    for frames, test in tests:
        if isinstance(test, str):
            outcomes += [Outcome("linear", frames, None, test), Outcome("network", frames, None, test)]
            continue
        on_test(f"linear classifier, {frames} frames")
        linear = two_sample_test(test)
        outcomes.append(_linear_outcome(frames, linear))
        exhibits = exhibits or _exhibit(subject, test, linear.scores)
        on_test(f"network, {frames} frames")
        outcomes.append(_network_outcome(frames, test, network))
    return Comparison(
        distances={s.name: measure_distance(subject.columns[s.name], reference.columns[s.name]) for s in STATISTICS},
        spectrum=spectrum_distance(subject.curves_db, reference.curves_db),
        outcomes=tuple(outcomes),
        exhibits=exhibits,
    )


def _procedural_test(subject: Survey, reference: Survey, seed: int) -> PatchTest | str:
    if not subject.painted.any():
        return f"no frame of {subject.name} is procedural"
    if subject.painted.all():
        return f"all frames of {subject.name} are procedural, see the test on all frames"
    return prepare_test(subject, reference, seed=seed, painted_only=True)


def _linear_outcome(frames: Frames, test: TwoSample) -> Outcome:
    return Outcome(
        classifier="linear",
        frames=frames,
        auc=test.auc,
        num_subject=test.num_subject,
        num_reference=test.num_reference,
        num_groups=test.num_groups,
        giveaways=test.giveaways,
    )


def _network_outcome(frames: Frames, test: PatchTest, network: Learner | str) -> Outcome:
    if isinstance(network, str):
        return Outcome("network", frames, None, network)
    num_subject = int(np.count_nonzero(test.is_subject))
    return Outcome(
        classifier="network",
        frames=frames,
        auc=auc_of(test, cross_validate(test, network)),
        num_subject=num_subject,
        num_reference=len(test.is_subject) - num_subject,
        num_groups=len(np.unique(test.groups)),
    )


def _exhibit(subject: Survey, test: PatchTest, scores: npt.NDArray[np.float64]) -> Exhibits:
    """Choose patches by their rank in their fold: scores of different folds are not comparable."""
    rank = np.empty(len(scores))
    for fold in np.unique(test.folds):
        held = np.flatnonzero(test.folds == fold)
        rank[held[np.argsort(scores[held], kind="stable")]] = np.arange(len(held)) / len(held)
    order = np.argsort(rank, kind="stable")
    ours = order[test.is_subject[order]]
    most, least = (_first_of_groups(members, test)[:NUM_EXHIBITS] for members in (ours, ours[::-1]))
    theirs = _first_of_groups(order[~test.is_subject[order]], test)
    spread = theirs[np.linspace(0, len(theirs) - 1, min(NUM_EXHIBITS, len(theirs))).astype(np.int64)]
    most_ids, least_ids = (tuple(subject.frame_ids[test.frames[number]] for number in members) for members in (most, least))
    return Exhibits(test.patches[most], test.patches[least], test.patches[spread], most_ids, least_ids)


def _first_of_groups(members: npt.NDArray[np.int64], test: PatchTest) -> npt.NDArray[np.int64]:
    """Keep the first patch of every group, in order."""
    first = np.unique(test.groups[members], return_index=True)[1]
    return np.asarray(members[np.sort(first)], dtype=np.int64)
