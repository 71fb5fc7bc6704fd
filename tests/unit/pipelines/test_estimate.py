"""Size and time are measured on samples of the plan itself."""

from __future__ import annotations

import itertools

import pytest

from pipelines import estimate
from pipelines.estimate import COLUMN_BYTES, NUM_PROBES, estimate_store
from synth.errors import RenderError, SourceError
from synth.plan import Plan
from synth.render import Renderer
from synth.store.codec import index_bytes
from synth.store.reader import open_store
from tests.support.builders import recipe_of, scan, write_mini_corpus
from tests.support.stores import small_recipe


def measure(recipe, root):
    table, bank = scan(recipe)
    plan = Plan(recipe, table.targets_per_frame())
    return estimate_store(recipe, table, bank, plan, root), plan


def test_size_is_that_of_the_store(small_store, small_corpus):
    """Against the bytes of its images, masks and columns; 32 probes of 60 samples came out 0.6 % off."""
    found, plan = measure(small_recipe(small_corpus), small_corpus)
    files = [path for name in ("image", "mask") for path in (small_store / name / "c").rglob("0") if path.is_file()]
    chunks = sum(path.stat().st_size - index_bytes(7) for path in files)
    assert found.num_bytes == pytest.approx(chunks + COLUMN_BYTES * len(plan), rel=0.02)
    assert len(plan) == len(open_store(small_store)) == 60


def test_time_grows_with_the_plan(small_corpus, monkeypatch):
    """A clock that moves one second a rendered sample; the first one, which compiles, does not count."""
    now = [0.0]
    real = Renderer.draw

    def timed(self, *arguments):
        now[0] += 100.0 if now[0] == 0 else 1.0
        return real(self, *arguments)

    monkeypatch.setattr(Renderer, "draw", timed)
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: now[0])
    found, _ = measure(small_recipe(small_corpus, num_synthetic=996), small_corpus)
    assert found.seconds == pytest.approx(1000.0)


def test_probes_are_few_and_spread(small_corpus, monkeypatch):
    seen: list[int] = []
    real = Renderer.draw

    def watched(self, row, *arguments):
        seen.append(row.index)
        return real(self, row, *arguments)

    monkeypatch.setattr(Renderer, "draw", watched)
    measure(small_recipe(small_corpus, num_synthetic=10**6), small_corpus)
    assert len(seen) == NUM_PROBES and seen[0] == 0 and seen[-1] == 10**6 + 3
    assert max(b - a for a, b in itertools.pairwise(seen)) < 2 * 10**6 / NUM_PROBES


def test_single_sample(tmp_path):
    root = write_mini_corpus(tmp_path / "corpus")
    (root / "train.txt").write_text("square\n")
    found, plan = measure(recipe_of(root, split="train", num_synthetic=0), root)
    assert len(plan) == 1 and found.num_bytes > 100 and found.seconds >= 0


def test_a_sample_that_cannot_be_made_is_told_before_any_work(small_corpus):
    with pytest.raises(RenderError, match="2 targets, more than max_targets = 1"):
        measure(small_recipe(small_corpus, max_targets=1, num_synthetic=4), small_corpus)


def test_changed_source_is_told_before_any_work(tmp_path):
    root = write_mini_corpus(tmp_path / "corpus")
    recipe = small_recipe(root)
    table, bank = scan(recipe)
    (root / "images/large.png").write_bytes((root / "images/large.png").read_bytes() + b"\0")
    with pytest.raises(SourceError, match=r"large\.png: changed"):
        estimate_store(recipe, table, bank, Plan(recipe, table.targets_per_frame()), root)
