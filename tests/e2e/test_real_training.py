"""The reality check: a nano network learns 64 real frames by heart within a minute or so of one core."""

from __future__ import annotations

import pytest
import torch

from finetune.detectors import build_detector
from finetune.recipe import FinetuneRecipe
from finetune.sources import open_sources
from finetune.task import FinetuneTask
from pipelines.config import load_recipe
from pretrain.feed import Feed
from pretrain.runtime import open_run, train
from pretrain.runtime.distributed import World

pytestmark = pytest.mark.real_data

OVERFIT = (
    "data.num_frames=64", "views={crop_px: 96, centre_probability: 0.5, flip: false, rot90: false}", "train.steps=250",
    "train.optimizer.lr=0.01", "train.ema=0.98", "train.validate_every=null",
)  # fmt: skip


def test_acm_nano_overfits_64_real_frames(sirst_data, tmp_path):
    """Native frames, not the crops it saw: best pooled IoU over thresholds 68.6 % measured, the goal is 60 %."""
    recipe = load_recipe("acm_nano_nuaa", FinetuneRecipe, OVERFIT, stage="finetune")
    world = World(torch.device("cpu"))
    sources = open_sources([sirst_data / "sirst-v1"], None, recipe.data, world.device)
    (pool,) = sources.pools
    torch.manual_seed(0)
    task = FinetuneTask(build_detector(recipe.detector), [pool.frame(i) for i in range(len(pool))], world.device, amp=True)
    with open_run(tmp_path / "run", {}, world) as run:
        outcome = train(task, Feed(sources.pools, recipe.views, seed=0), recipe.train, run, world)
    assert len(pool) == 64 and outcome.validation["val_best_iou"] > 60.0
    assert outcome.validation["val_pd"] > 90.0
