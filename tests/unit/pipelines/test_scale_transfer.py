"""The transfer law gives exact grids back, is refused where it must be, and says when the generator is at fault."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from pipelines.scale_transfer import GAP_FACTOR, TransferGrid, TransferLaw, fit_transfer, judge_transfer
from synth.errors import RecipeError

SYNTHETIC, LABELS = np.array([250.0, 1000.0, 4000.0, 16000.0]), np.array([8.0, 34.0, 85.0])
LAW = TransferLaw(delta=2.0, gamma=0.1, alpha=0.4, beta=0.15)


def grid_of(law, *, noise=0.0, seeds=5, synthetic=SYNTHETIC, labels=LABELS):
    exact = law(synthetic[:, None], labels[None, :])[:, :, None]
    draws = np.random.default_rng(3).normal(size=(len(synthetic), len(labels), seeds))
    return TransferGrid(synthetic, labels, exact * np.exp(noise * draws), tuple(range(seeds)))


@pytest.mark.parametrize("law", [LAW, TransferLaw(3.0, 0.02, 0.2, 0.3), TransferLaw(1.5, 0.3, 0.8, 0.1)])
def test_exact_grids_give_their_law_back(law):
    found = fit_transfer(grid_of(law))
    assert (found.delta, found.gamma, found.alpha, found.beta) == pytest.approx(
        (law.delta, law.gamma, law.alpha, law.beta), rel=0.02
    )


def test_interval_of_the_gap_covers_it():
    found = judge_transfer(grid_of(LAW, noise=0.02, seeds=8))
    assert found.law is not None and found.gap is not None
    assert found.gap.low < LAW.gamma < found.gap.high and found.gap.high < 10 * found.gap.low


def test_reading_names_what_to_change():
    """16,000^-0.4 = 0.0208 is below 0.1 / 4; with a small gap the count still matters."""
    assert LAW.odds(16000.0) < 1 / GAP_FACTOR < LAW.odds(250.0)
    assert judge_transfer(grid_of(LAW)).sentences == (
        "at 16000 synthetic frames the gap holds the error up: change the generator, not the count",
    )
    open_ended = judge_transfer(grid_of(TransferLaw(3.0, 0.02, 0.2, 0.3)))
    share = 16000.0**-0.2 / (0.02 + 16000.0**-0.2)
    assert open_ended.sentences == (f"at 16000 synthetic frames endless more of them would remove {share:.0%} of the error",)


def test_reading_rests_on_its_interval_and_not_on_the_estimate():
    """The true share is 17 %, below the fifth; noise of 3 % leaves both readings open."""
    found = judge_transfer(grid_of(LAW, noise=0.03))
    assert found.law is not None and found.gap is not None
    assert "it cannot be told yet whether count or generator holds it up" in found.sentences[0]
    low, high = (int(percent) for percent in re.findall(r"(\d+)%", found.sentences[0]))
    assert low < 17 < 20 < high


def test_a_gap_of_which_not_even_the_size_is_known_is_not_stated():
    """With gamma far below n^-alpha everywhere the grid is a power law: the gap may be anything."""
    found = judge_transfer(grid_of(TransferLaw(3.0, 0.001, 0.2, 0.3), noise=0.05))
    assert found.law is not None and found.gap is None
    assert found.sentences == ("gap not identified: the ends of gamma's interval differ more than 3 times; it is not stated",)


def test_judgements_carry_what_is_drawn():
    grid = grid_of(LAW, noise=0.01)
    content = json.loads(json.dumps(judge_transfer(grid).to_dict(), allow_nan=False))
    assert (content["synthetic"], content["labels"], content["seeds"]) == (SYNTHETIC.tolist(), LABELS.tolist(), [0, 1, 2, 3, 4])
    assert content["errors"] == grid.errors.tolist()
    assert content["gap"][0] < content["law"]["gamma"] < content["gap"][1]


def test_refusals():
    few = judge_transfer(grid_of(LAW, synthetic=SYNTHETIC[:2]))
    assert few.law is None and few.sentences == (
        "not enough counts for the transfer law: 2 counts of synthetic frames x 3 of labels, needed: 3 x 3",
    )
    assert judge_transfer(grid_of(LAW, seeds=4)).sentences == ("not enough seeds for the transfer law: 4 of 5",)


def test_training_that_failed_states_no_law():
    collapsed, convergence = np.zeros((4, 3)), [["reached"] * 3 for _ in range(4)]
    collapsed[1, 0], convergence[3][2], convergence[0][0] = 0.4, "limited", "unknown"
    found = judge_transfer(grid_of(LAW), collapsed=collapsed.tolist(), convergence=convergence)
    assert found.law is None and found.sentences == (
        "40% of the seeds collapsed at 1000 synthetic frames and 8 labels: no transfer law",
        "training at 16000 synthetic frames and 85 labels had not converged: no transfer law",
        "whether training had converged is not known at 1 of 12 places: no transfer law",
    )


def test_a_law_that_foresees_less_than_the_last_value_is_refused():
    """Errors that fall until 4,000 frames and then no more: the law goes on falling."""
    grid = grid_of(TransferLaw(3.0, 0.001, 0.3, 0.3))
    stopped = np.concatenate([grid.errors[:3], grid.errors[2:3]])
    found = judge_transfer(TransferGrid(SYNTHETIC, LABELS, stopped, grid.seeds))
    assert found.law is None
    assert found.sentences[0].startswith(
        "the transfer law, fitted without the largest count of synthetic frames, misses it by more"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synthetic": SYNTHETIC[::-1]}, "synthetic must rise"),
        ({"labels": np.array([0.0, 1.0, 2.0])}, "labels must rise and be positive"),
        ({"seeds": (0, 1)}, "seeds must be one a replicate, got 2 for 5"),
        ({"errors": np.ones((4, 3))}, r"must be \(synthetic, labels, replicates\)"),
        ({"errors": np.full((4, 3, 5), 1.5)}, r"errors must be in \(0, 1\]"),
    ],
)
def test_bad_grids_are_named(change, message):
    fields = {"synthetic": SYNTHETIC, "labels": LABELS, "errors": np.full((4, 3, 5), 0.5), "seeds": tuple(range(5))} | change
    with pytest.raises(RecipeError, match=message):
        TransferGrid(**fields)


def test_one_count_fits_nothing():
    with pytest.raises(RecipeError, match="at least 2 synthetic and 2 label counts"):
        fit_transfer(grid_of(LAW, synthetic=SYNTHETIC[:1]))
