"""The classifier two-sample test: can target-free patches of two sets be told apart, and by what.

Protocol (physics section 12, item 5): 64x64 target-free patches; folds by source frame, near duplicates and frames of one
plate on one side; AUC within folds with an interval over groups. Any classifier fits in: it is handed the patches to learn
from and scores the others.

How to read it: random halves of SIRST-v1 or of the NUDT train list gave 0.44 to 0.54 (8 draws, linear), so that is what "one
distribution" looks like at some hundred frames; the two sets against each other, both of real frames, gave 0.95.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.census.auc import Auc, grouped_auc, plain_auc
from synth.census.descriptor import describe, descriptor_names
from synth.census.folds import assign_folds, frame_groups
from synth.census.logistic import fit_logistic
from synth.census.patches import PATCH_PX
from synth.census.survey import Survey
from synth.rng import Stream, keyed_generator

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NUM_FOLDS = 5
MIN_GROUPS = 2 * NUM_FOLDS
"""Fewer groups in a class give no two test groups a fold: the test is not run (our choice)."""
MAX_PATCHES = 1500
"""Patches a class at most, so that a card of thousands of frames takes a minute (our choice)."""
CHOICE_INDEX = 3
"""Index of the generator that cuts the patches down to that number."""

Learner = Callable[[npt.NDArray[np.float32], BoolArray, npt.NDArray[np.float32]], FloatArray]
"""(patches to learn from, whether each is of the subject, patches to score) -> scores, higher for the subject."""


@dataclass(frozen=True, slots=True, eq=False)
class PatchTest:
    """Patches of two sets, dealt to folds; the subject's are the positive class.

    Attributes:
        patches: float32 (P, 64, 64), grey levels of 0..255.
        is_subject: bool (P,).
        groups: int64 (P,), group of the frame of each patch.
        folds: int64 (P,).
        frames: int64 (P,), frame of each patch in its own set.
        seed: Seed of the resampling.
    """

    patches: npt.NDArray[np.float32]
    is_subject: BoolArray
    groups: IntArray
    folds: IntArray
    frames: IntArray
    seed: int


@dataclass(frozen=True, slots=True)
class Giveaway:
    """One number of the descriptor, and how much of the difference it carries.

    Attributes:
        name: What it measures.
        weight: Mean weight over the folds, log odds per standard deviation; positive: higher in the subject.
        auc_alone: AUC of this number alone, 0..1; above 0.5: higher in the subject.
    """

    name: str
    weight: float
    auc_alone: float


@dataclass(frozen=True, slots=True, eq=False)
class TwoSample:
    """Outcome of the linear test.

    Attributes:
        auc: AUC with its interval.
        num_subject: Patches of the subject.
        num_reference: Patches of the reference.
        num_groups: Groups of frames they come from.
        giveaways: Every number of the descriptor, largest absolute weight first.
        scores: float64 (P,), held-out log odds of being the subject's, comparable within a fold.
    """

    auc: Auc
    num_subject: int
    num_reference: int
    num_groups: int
    giveaways: tuple[Giveaway, ...]
    scores: FloatArray


def prepare_test(subject: Survey, reference: Survey, *, seed: int, painted_only: bool = False) -> PatchTest | str:
    """Choose patches of two sets and deal them to folds.

    Args:
        subject: The set to judge.
        reference: The set it is held against.
        seed: Seed of choice and order.
        painted_only: Leave out subject frames on a real background.

    Returns:
        The test, or one phrase on why there is none.
    """
    groups = frame_groups(
        subject.links + reference.links,
        np.concatenate([subject.thumbnails, reference.thumbnails]),
        np.concatenate([subject.painted, reference.painted]),
    )
    allowed = subject.painted[subject.patch_frame] if painted_only else np.ones(len(subject.patches), np.bool_)
    ours = _choose(subject.patch_frame, allowed, seed)
    theirs = _choose(reference.patch_frame, np.ones(len(reference.patches), np.bool_), seed)
    frames = np.concatenate([subject.patch_frame[ours], reference.patch_frame[theirs]])
    is_subject = np.arange(len(frames)) < len(ours)
    group = groups[np.where(is_subject, frames, frames + len(subject))]
    for name, members in ((subject.name, group[is_subject]), (reference.name, group[~is_subject])):
        if (num_groups := len(np.unique(members))) < MIN_GROUPS:
            return f"needs target-free {PATCH_PX}-px patches of {MIN_GROUPS} unrelated frames, {name} has {num_groups}"
    folds = assign_folds(group, is_subject, NUM_FOLDS, seed)
    patches = np.concatenate([subject.patches[ours], reference.patches[theirs]])
    return PatchTest(patches, is_subject, group, folds, frames, seed)


def cross_validate(test: PatchTest, learner: Learner) -> FloatArray:
    """Return the held-out score of every patch, float64 (P,), comparable within a fold."""
    scores = np.empty(len(test.patches))
    for fold in range(NUM_FOLDS):
        held_out = test.folds == fold
        scores[held_out] = learner(test.patches[~held_out], test.is_subject[~held_out], test.patches[held_out])
    return scores


def auc_of(test: PatchTest, scores: FloatArray) -> Auc:
    """Return the AUC of held-out scores."""
    return grouped_auc(scores, test.is_subject, test.groups, test.folds, test.seed)


def two_sample_test(test: PatchTest) -> TwoSample:
    """Run the linear test on the fixed descriptor."""
    features = describe(test.patches)
    scores, weights = np.empty(len(features)), np.zeros(features.shape[1])
    for fold in range(NUM_FOLDS):
        held_out = test.folds == fold
        model = fit_logistic(features[~held_out], test.is_subject[~held_out])
        scores[held_out] = model.score(features[held_out])
        weights += model.weights / NUM_FOLDS
    giveaways = [
        Giveaway(name, float(weight), plain_auc(column, test.is_subject))
        for name, weight, column in zip(descriptor_names(), weights, features.T, strict=True)
    ]
    return TwoSample(
        auc=auc_of(test, scores),
        num_subject=int(np.count_nonzero(test.is_subject)),
        num_reference=int(np.count_nonzero(~test.is_subject)),
        num_groups=len(np.unique(test.groups)),
        giveaways=tuple(sorted(giveaways, key=lambda entry: -abs(entry.weight))),
        scores=scores,
    )


def _choose(frame_of: IntArray, allowed: BoolArray, seed: int) -> IntArray:
    """Return up to :data:`MAX_PATCHES` allowed patches in order, one of every frame before the second of any."""
    rng = keyed_generator(seed, Stream.CENSUS, CHOICE_INDEX)
    drawn = rng.permutation(np.flatnonzero(allowed))
    drawn = drawn[np.argsort(frame_of[drawn], kind="stable")]
    frames = frame_of[drawn]
    nth_of_frame = np.arange(len(drawn)) - np.searchsorted(frames, frames)
    order = np.argsort(nth_of_frame + rng.random(len(drawn)))
    return np.asarray(np.sort(drawn[order[:MAX_PATCHES]]), dtype=np.int64)
