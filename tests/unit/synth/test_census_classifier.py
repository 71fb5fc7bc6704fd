"""Folds, the linear classifier and the AUC with its interval."""

from __future__ import annotations

import numpy as np
import pytest

from synth.census.auc import grouped_auc, plain_auc
from synth.census.folds import assign_folds, frame_groups
from synth.census.logistic import CLIP_SIGMAS, PENALTY, fit_logistic

THUMB = (32, 32)


def thumbs(num, seed=0):
    """Unrelated unit thumbnails."""
    raw = np.random.default_rng(seed).standard_normal((num, *THUMB))
    raw -= raw.mean(axis=(1, 2), keepdims=True)
    return (raw / np.sqrt((raw**2).sum(axis=(1, 2), keepdims=True))).astype(np.float32)


def test_groups_join_links_and_look_alikes_into_chains():
    pictures = thumbs(7)
    pictures[3] = pictures[2]  # look alike
    links = [("a",), ("a", "b"), ("b",), (), ("c",), ("c",), ("d",)]
    groups = frame_groups(links, pictures, np.zeros(7, bool))
    assert len(set(groups[:4])) == 1 and groups[4] == groups[5] and len(set(groups)) == 3


def test_painted_frames_are_joined_by_links_only():
    pictures = np.repeat(thumbs(1), 4, axis=0)
    painted = np.array([True, True, True, False])
    groups = frame_groups([("a",), ("a",), ("b",), ()], pictures, painted)
    assert groups[0] == groups[1] and len(set(groups)) == 3


@pytest.mark.parametrize("seed", range(3))
def test_folds_cut_no_group_and_share_both_classes(seed):
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, 120, 1000))
    labels = rng.random(1000) < np.where(groups % 3 == 0, 0.9, 0.1)  # unlike classes, some groups with both
    folds = assign_folds(groups, labels, 5, seed)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in np.unique(groups))
    for label in (False, True):
        shares = np.bincount(folds[labels == label], minlength=5) / np.count_nonzero(labels == label)
        assert shares.min() > 0.15 and shares.max() < 0.25
    np.testing.assert_array_equal(folds, assign_folds(groups, labels, 5, seed))


def test_plain_auc_counts_pairs():
    rng = np.random.default_rng(1)
    values, labels = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    ours, theirs = values[labels][:, None], values[~labels][None, :]
    assert plain_auc(values, labels) == pytest.approx(np.mean((ours > theirs) + 0.5 * (ours == theirs)))
    assert plain_auc(np.ones(60), labels) == 0.5
    assert plain_auc(-values, labels) == pytest.approx(1.0 - plain_auc(values, labels))


def test_pairs_across_folds_do_not_count():
    """Perfect order within each fold, scores of the second fold all higher: a pooled ranking would read 0.75."""
    scores = np.array([0.0, 1.0, 10.0, 11.0] * 5)
    labels, folds = np.array([False, True, False, True] * 5), np.array([0, 0, 1, 1] * 5)
    assert grouped_auc(scores, labels, np.arange(20), folds, 0).value == 1.0
    assert plain_auc(scores, labels) == 0.75


def test_interval_holds_the_truth_and_knows_that_copies_are_no_evidence():
    """Scores N(0, 1) and N(d, 1) with d = 0.7416: AUC 0.7. 60 repeats of 40 + 40: 57 expected inside, 4 sigma: >= 50."""
    inside, single, copied = 0, [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = np.arange(80) % 2 == 0
        scores = rng.standard_normal(80) + 0.7416 * labels
        folds = np.arange(80) // 16
        auc = grouped_auc(scores, labels, np.arange(80), folds, seed)
        inside += auc.low <= 0.7 <= auc.high
        if seed < 5:
            ten = [np.repeat(column, 10) for column in (scores, labels, np.arange(80), folds)]
            twin = grouped_auc(*ten, seed)
            assert twin.value == pytest.approx(auc.value)
            single.append(auc.high - auc.low)
            copied.append(twin.high - twin.low)
    assert inside >= 50
    assert copied == pytest.approx(single), "ten copies of every frame are no evidence"


def test_logistic_finds_the_optimum_of_its_loss():
    rng = np.random.default_rng(2)
    features = rng.normal(3.0, 2.0, (300, 4)) * [1.0, 10.0, 0.1, 1.0]
    labels = rng.random(300) < 1 / (1 + np.exp(-(features[:, 0] - 4.0)))
    model = fit_logistic(features, labels)
    x = np.clip((features - features.mean(axis=0)) / features.std(axis=0), -CLIP_SIGMAS, CLIP_SIGMAS)
    weight = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())

    def loss(weights, bias):
        margin = np.where(labels, 1, -1) * (x @ weights + bias)
        return weight @ np.logaddexp(0, -margin) + PENALTY / 2 * weights @ weights

    best = loss(model.weights, model.bias)
    for step in np.concatenate([np.eye(5), -np.eye(5)]) * 0.05:
        assert loss(model.weights + step[:4], model.bias + step[4]) > best
    assert np.argmax(np.abs(model.weights)) == 0 and model.weights[0] > 1.0
    assert model.score(features) == pytest.approx(x @ model.weights + model.bias)


def test_logistic_with_unequal_classes_and_a_constant_column():
    """20 against 400: at the midpoint between the classes the odds are even, as classes weigh the same."""
    rng = np.random.default_rng(3)
    features = np.concatenate([rng.normal(1.0, 0.5, (20, 1)), rng.normal(-1.0, 0.5, (400, 1))])
    features = np.concatenate([features, np.full((420, 1), 7.0)], axis=1)
    model = fit_logistic(features, np.arange(420) < 20)
    assert model.weights[1] == pytest.approx(0.0, abs=1e-9)
    assert abs(model.score(np.array([[0.0, 7.0]]))[0]) < 1.0
    assert np.isfinite(model.score(np.array([[1e9, 1e9]]))).all()
