"""Every tensor of a training step is on the device of its model, and the host waits for a GPU once a step.

No GPU is needed: one is claimed (``tests.support.claimed_gpu``). What CUDA computes, and how fast, is not tested here.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from finetune.detectors import create_detector, detector_names
from finetune.evaluate import score_run
from finetune.probe_pixels import PixelProbe
from finetune.task import FinetuneTask
from pipelines import finetune_detector, pretrain_encoder
from pretrain.compose import Composer, InsertionConfig
from pretrain.compose.noise import recorded_noise
from pretrain.feed import Feed
from pretrain.frames import open_pool, pool_of_frames
from pretrain.objectives import objective_class
from pretrain.order import Partition
from pretrain.runtime.checkpoint import Checkpoints
from pretrain.runtime.config import TrainConfig
from pretrain.runtime.distributed import World
from pretrain.runtime.learner import Learner
from pretrain.task import PretrainModel, PretrainTask
from pretrain.unlabelled import DoubtConfig, without_labels
from pretrain.views import NoiseMix, PatchTurn, Radiometry, ViewConfig, Warp
from tests.support.builders import mini_frames, scene, texture, write_corpus
from tests.support.claimed_gpu import CPU, GPU, DeviceMismatchError, claimed_gpu, is_claimed
from tests.support.composing import tiny_network
from tests.support.pretraining import TRAINED, settings_of
from tests.support.stores import finished_store
from tests.support.training import ToyNet, ToyTask

ONCE = Counter({"tolist": 1, "to": 1})
"""Loss and norm are read together; ``to`` is torch's clipping of gradients, which asks C++ where it truly computes."""
EVERYTHING = ViewConfig(
    crop_px=48,
    noise_mix=NoiseMix(probability=1),
    patch_turn=PatchTurn(probability=1),
    paste_probability=1,
    warp=Warp(probability=0.3),
    radiometry=Radiometry(gain=0.2, offset=0.1, gamma=0.2, blur_px=0.5, grain=0.02, columns=0.01),
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def gpu():
    with claimed_gpu() as claimed:
        yield claimed


def resident_pool():
    return pool_of_frames(mini_frames(), name="mini", device=GPU)


def waits_of_steps(learner, feed, gpu, count=2):
    """Do steps; return what the host waited for in the last, when all that is made once is there."""
    batches = feed.batches(0, Partition(4))
    for step in range(count):
        gpu.waits.clear()
        assert learner.do_step(batches, step, 1e-3, lambda: False).is_finite
    return gpu.waits


def pretrain_task(kinds, pool):
    settings = settings_of(kinds)
    composer = Composer(
        InsertionConfig(), 0, pairs=any(objective_class(s).needs_pairs for s in settings), noise=recorded_noise([pool, pool], GPU)
    )
    views = ViewConfig(crop_px=32, centre_probability=0)
    held_out = list(islice(Feed([pool], views, seed=1, device=GPU, needs_targets=False).batches(0, Partition(4)), 1))
    return PretrainTask(
        PretrainModel(tiny_network(), settings), composer, held_out, Composer(InsertionConfig(), 5, pairs=False), amp=True
    )


@pytest.mark.parametrize("name", TRAINED)
def test_every_objective_stays_on_its_device_and_waits_once(gpu, name):
    """Views, insertion, recorded noise, objective, teacher, average and update, then a validation."""
    pool = resident_pool()
    if name != "lneg":
        pool = without_labels(pool, DoubtConfig())
    pool = replace(pool, noise_MSS=texture("noise", (48, 16)).astype(np.uint8).reshape(3, 16, 16))
    task = pretrain_task(TRAINED[name], pool)
    learner = Learner(task, TrainConfig(steps=2, batch=4, ema=0.9), World(GPU))
    feed = Feed([pool, pool], ViewConfig(crop_px=32), seed=0, device=GPU, needs_targets=False)
    assert waits_of_steps(learner, feed, gpu) == ONCE
    task.model.eval()
    assert learner.average is not None
    with torch.no_grad(), learner.average.applied(task.model):
        assert all(np.isfinite(value) for value in task.validate().values())


@pytest.mark.parametrize("name", detector_names())
def test_every_detector_stays_on_its_device_and_waits_once(gpu, name):
    """Every kind of view, loss and update, then predictions and a probe of frames of other sizes."""
    pool = resident_pool()
    task = FinetuneTask(create_detector(name), mini_frames()[1:3], GPU, amp=True)
    learner = Learner(task, TrainConfig(steps=2, batch=4, ema=0.9), World(GPU))
    assert waits_of_steps(learner, Feed([pool, pool], EVERYTHING, seed=0, device=GPU), gpu) == ONCE
    with torch.no_grad():
        assert 0.0 <= task.validate()["val_best_iou"] <= 100.0
    pixels = PixelProbe(task.detector, GPU, 0).sample(mini_frames()[:1])
    assert np.isfinite(pixels.features_ND).all()


def test_every_part_of_the_loss_stays_on_its_device_and_waits_once(gpu):
    """Hardest pixels, too, are found without asking how many there are."""
    loss = {"soft_iou": 1.0, "bce": 1.0, "dice": 1.0, "hard_bce": 1.0, "reduce": "batch"}
    learner = Learner(
        FinetuneTask(create_detector("acm_nano", loss=loss), (), GPU, amp=True), TrainConfig(steps=2, batch=4), World(GPU)
    )
    assert waits_of_steps(learner, Feed([resident_pool()], ViewConfig(crop_px=32), seed=0, device=GPU), gpu) == ONCE


@pytest.mark.parametrize("kind", ["adamw", "adam", "adagrad", "sgd"])
def test_a_saved_state_comes_back_to_the_device(gpu, tmp_path, kind):
    config = TrainConfig.model_validate({"steps": 4, "batch": 4, "ema": 0.9, "optimizer": {"kind": kind}})
    feed = Feed([resident_pool()], ViewConfig(crop_px=24), seed=0, device=GPU)
    learner = Learner(ToyTask(ToyNet(), None, None), config, World(GPU))
    waits_of_steps(learner, feed, gpu)
    states = Checkpoints(tmp_path)
    states.save(2, learner.state())
    saved = states.newest()
    assert saved is not None and not any(map(is_claimed, saved["model"].values()))
    resumed = Learner(ToyTask(ToyNet(), None, None), config, World(GPU))
    resumed.load(saved)
    assert waits_of_steps(resumed, feed, gpu) == ONCE
    assert all(map(is_claimed, resumed.weights()["model"].values()))


class AtOnce(ThreadPoolExecutor):
    """Does what is submitted here and now: the claim does not reach other threads."""

    def submit(self, fn, *args):
        done = Future()
        done.set_result(fn(*args))
        return done


def test_streamed_frames_go_to_the_device(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # asks for a real GPU
    monkeypatch.setattr("pretrain.feed.ThreadPoolExecutor", AtOnce)
    pool = without_labels(open_pool(finished_store(tmp_path), device=GPU, residence="streamed"), DoubtConfig())
    feed = Feed([pool, pool], ViewConfig(crop_px=24), seed=0, device=GPU, needs_targets=False)
    fetched = pool.pixels.fetch(np.arange(2))
    assert is_claimed(fetched.images_NHW) and is_claimed(fetched.masks_NHW), "doubtful peaks are searched there"
    batch = next(feed.batches(0, Partition(4)))
    assert all(map(is_claimed, (batch.images_B1HW, batch.masks_B1HW, batch.valid_B1HW, batch.is_labelled_B)))
    assert not gpu.waits


def test_whole_commands_stay_on_the_device(gpu, tmp_path, monkeypatch):
    """Run directory, loop, journal, states, averages, the chosen weights, the sheet of views, and the scores of the run."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"claimed {device}")
    names = {"train": ("a", "b", "c", "d", "e"), "val": ("v",), "test": ("t", "u")}
    places = enumerate(name for ids in names.values() for name in ids)
    frames = [scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in places]
    corpus = write_corpus(tmp_path / "corpus", frames, names)
    network = ("detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]", "train.ema=0.9", "train.device=cuda")
    steps = ("views.crop_px=32", "train.batch=4", "train.steps=3", "train.validate_every=2", "train.checkpoint_every=2")
    for command, recipe, more in (
        (pretrain_encoder, "pretrain_tiny", ("held_out.frames=1", "held_out.crops=4")),
        (finetune_detector, "acm_nano_smoke", ()),
    ):
        out = tmp_path / recipe
        sets = [flag for key in (*network, *steps, *more) for flag in ("--set", key)]
        assert command.main([recipe, "--data", str(corpus), "--out", str(out), *sets]) == 0
        assert json.loads((out / "env.json").read_text())["gpu"] == "claimed cuda:0"
    assert score_run(out, frames[-2:], device=GPU, amp=True).whole.iou >= 0.0


def test_a_loss_with_a_tensor_on_the_cpu_is_refused(gpu):
    class Planted(ToyTask):
        def loss(self, batch, step):
            return {"bce": (super().loss(batch, step)["bce"] * torch.ones(1)).sum()}

    learner = Learner(Planted(ToyNet(), None, None), TrainConfig(steps=1, batch=4), World(GPU))
    feed = Feed([resident_pool()], ViewConfig(crop_px=24), seed=0, device=GPU)
    with pytest.raises(DeviceMismatchError, match=r"mul must be on one device, got \(\) on cuda, \(1,\) on cpu"):
        waits_of_steps(learner, feed, gpu)


def test_a_loss_that_reads_a_value_is_counted(gpu):
    class Planted(ToyTask):
        def loss(self, batch, step):
            parts = super().loss(batch, step)
            return parts if parts["bce"] > 0 else {}

    learner = Learner(Planted(ToyNet(), None, None), TrainConfig(steps=2, batch=4), World(GPU))
    feed = Feed([resident_pool()], ViewConfig(crop_px=24), seed=0, device=GPU)
    assert waits_of_steps(learner, feed, gpu) == ONCE + Counter({"__bool__": 1})


@pytest.mark.parametrize(
    "mix",
    [
        lambda there: there + torch.ones(3),
        lambda there: torch.stack([there, torch.zeros(3)]),
        lambda there: there[torch.tensor([0, 1])],
        lambda there: there.index_add_(0, torch.arange(3, device=GPU), torch.ones(3)),
        torch.nn.Linear(3, 1),
        lambda there: there.numpy(),
        np.asarray,
    ],
)
def test_what_cuda_would_refuse_is_refused(gpu, mix):
    with pytest.raises(DeviceMismatchError):
        mix(torch.ones(3).to(GPU))


def test_claims_follow_tensors(gpu):
    there = torch.arange(3, device="cuda").float()
    assert there.device == GPU and there.is_cuda and torch.zeros_like(there).device == GPU and there.new_ones(2).device == GPU
    assert torch.ones(3).device == torch.ones(3).to(GPU).to(CPU).device == there.cpu().device == CPU
    network = torch.nn.Linear(3, 1).to(GPU)
    network(there).sum().backward()
    assert network.weight.grad is not None and network.weight.grad.device == GPU
    assert gpu.waits == {"to": 4, "cpu": 1} and there.sum().item() == 3.0 and gpu.waits["item"] == 1
    here = torch.zeros(3).copy_(there)
    assert here.device == CPU and here.tolist() == [0.0, 1.0, 2.0] and gpu.waits["tolist"] == 0
