"""The published sets give the published counts: frames, targets, noise windows, planned samples."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.config import load_recipe
from synth.plan import PUBLISHED_SOURCE, Plan
from synth.recipe import SynthesisRecipe
from synth.scan import scan_sources

pytestmark = pytest.mark.real_data


def scanned(folder, *overrides):
    recipe = load_recipe("sirst5k", SynthesisRecipe, overrides)
    recipe = recipe.model_copy(update={"source": recipe.source.model_copy(update={"path": str(folder)})})
    table, bank = scan_sources(recipe, threads=1, progress=lambda done, total: None)
    return Plan(recipe, table.targets_per_frame()), table, bank


def test_nudt_gives_the_published_set(sirst_data):
    """663 frames with 918 targets; 16,876 quiet windows less 298 with targets; 663 + 4,199 = 4,862 samples."""
    plan, table, bank = scanned(sirst_data / "nudt-sirst")
    assert (len(table.frames), plan.num_source_targets) == PUBLISHED_SOURCE == (663, 918)
    assert (plan.num_originals, plan.num_synthetic, len(plan)) == (663, 4199, 4862)
    assert len(bank) == 16_578 and {record.hw for record in table.frames} == {(256, 256)}
    assert bank.variance.min() > 0 and bank.variance.max() < 50
    quartiles = np.quantile(bank.mean, [0.25, 0.5, 0.75])
    assert quartiles == pytest.approx([45, 74, 121], abs=2)  # measured over the 16,876 with targets
    assert table.leakage["num_test_frames"] == 664 and table.leakage["split"] == "trainval"


def test_windows_with_targets_come_back_under_the_legacy_flag(sirst_data):
    _, table, bank = scanned(sirst_data / "nudt-sirst", "legacy.include_targets=true")
    assert len(bank) == 16_876
    assert len(table.frames) - len(np.unique(bank.frame)) == 42  # frames without any quiet window


def test_the_validation_list_of_nudt_stays_out_of_train(sirst_data):
    plan, table, bank = scanned(sirst_data / "nudt-sirst", "split=train")
    assert len(table.frames) == 530 and len(bank) < 16_578
    assert len(plan) == 530 + 4 * plan.num_source_targets


def test_sirst_v1_gives_originals_and_four_copies_a_target(sirst_data):
    plan, table, bank = scanned(sirst_data / "sirst-v1", "split=train")
    assert len(table.frames) == 256 and plan.num_source_targets == 327
    assert len(plan) == 256 + 4 * 327 == 1564
    assert len(bank) > 1000 and table.leakage["num_test_frames"] == 86
    affected = {test for _, test, _ in table.leakage["near_duplicates_of_test"]}
    assert len(affected) == 6 and any("6 of 86 test frames" in note for note in table.notes)


def test_foreign_noise_comes_from_unlabelled_backgrounds(sirst_data):
    folder = sirst_data / "sirst-backgrounds"
    plan, table, bank = scanned(sirst_data / "sirst-v1", "split=train", f"noise.source={folder}", "noise.max_windows=2000")
    assert len(plan) == 1564 and len(bank) == 2000 and set(bank.source.tolist()) == {1}
    assert len(table.leakage["noise_frames"]) == 145
