"""Schedules, optimisers, averages, the journal, and what happens when a loss is not finite."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from pretrain.runtime import TrainConfig, run_dir
from pretrain.runtime.checkpoint import Checkpoints
from pretrain.runtime.config import OptimizerConfig, ScheduleConfig
from pretrain.runtime.distributed import World
from pretrain.runtime.ema import ModelAverage
from pretrain.runtime.journal import Journal
from pretrain.runtime.learner import Learner, use_fast_layout
from pretrain.runtime.optimizers import build_optimizer
from pretrain.runtime.run_dir import RunDirectory, environment
from pretrain.runtime.schedule import lr_factor
from synth.errors import RefusalError, TrainingError
from tests.support.training import ToyNet, ToyTask, toy_config, train_toy


def test_cosine_rises_over_the_warm_up_and_ends_at_its_end():
    config = ScheduleConfig(warmup=0.1, end_factor=0.01)
    factors = [lr_factor(config, step, 100) for step in range(100)]
    assert factors[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert factors[10] == 1.0 and factors[-1] == pytest.approx(0.01, abs=1e-12)
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert factors[54] == pytest.approx(0.505, abs=0.01)  # half way down


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.0])
def test_schedules_stay_in_range_in_the_shortest_runs(steps, warmup):
    for kind, stairs in (("cosine", ()), ("constant", ()), ("multistep", (0.5,))):
        config = ScheduleConfig(kind=kind, warmup=warmup, milestones=stairs)
        assert all(0 <= lr_factor(config, step, steps) <= 1 for step in range(steps))


def test_stairs_fall_at_their_milestones():
    config = ScheduleConfig(kind="multistep", warmup=0, milestones=(0.5, 0.75), gamma=0.1)
    factors = [lr_factor(config, step, 8) for step in range(8)]
    assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"schedule": {"kind": "multistep"}}, "milestones must stand with kind multistep"),
        ({"schedule": {"milestones": [0.5]}}, "milestones must stand with kind multistep"),
        ({"schedule": {"kind": "multistep", "milestones": [0.7, 0.5]}}, "milestones must rise within 0..1"),
        ({"optimizer": {"lr": 0}}, "optimizer.lr"),
        ({"optimizer": {"kind": "lion"}}, "optimizer.kind"),
        ({"ema": 1.0}, "ema"),
        ({"warmup": 3}, "warmup"),
    ],
)
def test_settings_that_cannot_be_are_named(keys, message):
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate({"steps": 10} | keys)


@pytest.mark.parametrize("kind", ["adamw", "adam", "adagrad", "sgd"])
def test_every_optimiser_learns_and_spares_norms_and_biases_from_decay(kind):
    torch.manual_seed(0)
    model = ToyNet()
    optimizer = build_optimizer(model, OptimizerConfig(kind=kind, lr=0.01, weight_decay=0.1))
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {name for name, p in model.named_parameters() if decay_of[id(p)] > 0} == {"first.weight", "last.weight"}
    images = torch.rand(4, 1, 8, 8)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(images) - images).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_average_covers_buffers_and_copies_counters():
    model = ToyNet("batch")
    average = ModelAverage(model, decay=0.9)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    before = {name: tensor.clone() for name, tensor in average.state.items()}
    average.update(model, step=10**6)
    for name, now in model.state_dict().items():
        expected = now if not now.is_floating_point() else 0.9 * before[name] + 0.1 * now
        torch.testing.assert_close(average.state[name], expected)
    assert {"norm.running_mean", "norm.num_batches_tracked"} <= average.state.keys()
    average.update(model, step=0)  # the first updates forget the initial weights: decay 1/10
    assert torch.allclose(average.state["first.bias"], model.first.bias, atol=0.1)


def test_the_average_is_lent_to_the_model_and_taken_back():
    model = ToyNet("batch")
    average = ModelAverage(model, decay=0.9)
    nn.init.zeros_(model.last.weight)
    with pytest.raises(ZeroDivisionError), average.applied(model):
        assert torch.equal(model.last.weight, average.state["last.weight"]) and model.last.weight.any()
        raise ZeroDivisionError
    assert not model.last.weight.any()


def test_validation_sees_the_averaged_weights(tmp_path):
    outcome, task = train_toy(tmp_path, 6, validate_every=2)
    state = RunDirectory(tmp_path).checkpoints.newest()
    assert state is not None and task.validations == 3
    parameters = [name for name, _ in task.model.named_parameters()]
    averaged, plain = (sum(float(state[key][name].sum()) for name in parameters) for key in ("average", "model"))
    assert outcome.validation["score"] == pytest.approx(averaged, abs=1e-5)
    assert abs(averaged - plain) > 1e-4


def test_the_best_state_is_that_of_the_highest_validation(tmp_path):
    outcome, _ = train_toy(tmp_path, 8, validate_every=1)
    run = RunDirectory(tmp_path)
    values = {line["step"]: line["validation"]["score"] for line in run.journal.lines() if "validation" in line}
    assert len(values) == 8 and outcome.best is not None
    assert outcome.best["value"] == max(values.values()) == values[outcome.best["step"]]
    assert run.checkpoints.load("best")["step"] == outcome.best["step"]


def test_a_loss_that_is_not_finite_stops_with_state_and_diagnosis(tmp_path):
    with pytest.raises(TrainingError, match=r"no finite loss .* up to step 6 \(bce nan, soft_iou 0\..*lower optimizer.lr"):
        train_toy(tmp_path, 20, poison_from=4, norm="batch")
    run = RunDirectory(tmp_path)
    state = run.checkpoints.newest()
    assert state is not None and state["step"] == 7
    assert all(value.isfinite().all() for value in state["model"].values())
    found = json.loads((tmp_path / "diagnosis.json").read_text())
    assert (
        found["loss_parts"]["bce"] == "nan" and not found["non_finite_weights"] and "last.weight" in found["non_finite_gradients"]
    )
    assert [sample["position"] for sample in found["samples"]] == [24, 25, 26, 27]
    lines = run.journal.lines()
    assert lines[-1]["bce"] is None and math.isfinite(lines[-1]["soft_iou"])
    outcome, task = train_toy(tmp_path, 20, norm="batch")  # goes on behind the steps that were left out
    assert outcome.is_finished and task.seen[0][0] == 28


@pytest.mark.parametrize("poison", [{"poison_from": 2}, {"poison_maps_at": 2}, {"poison_maps_at": 2, "norm": "batch"}])
def test_one_step_that_is_not_finite_changes_nothing_and_is_passed_over(tmp_path, poison):
    train_toy(tmp_path / "a", 4, stop_after=3, **poison)
    train_toy(tmp_path / "b", 4, stop_after=2, norm=poison.get("norm", "group"))
    a, b = (RunDirectory(tmp_path / name).checkpoints.newest() for name in "ab")
    assert a is not None and b is not None and (a["step"], b["step"]) == (3, 2) and a["progress"]["non_finite"] == 1
    names = [name for name in a["model"] if not name.endswith("num_batches_tracked")]
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in names)


def test_the_journal_is_cut_behind_a_step_and_where_a_crash_tore_it(tmp_path):
    journal = Journal(tmp_path / "metrics.jsonl")
    journal.cut(3)  # nothing there yet
    for step in (1, 2, 3, 4):
        journal.write({"step": step, "loss": 0.5})
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 5, "lo')
    assert [line["step"] for line in journal.lines()] == [1, 2, 3, 4]
    journal.cut(2)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.5}\n'


def test_every_line_of_the_journal_says_what_was_promised(tmp_path):
    train_toy(tmp_path, 4, log_every=2)
    lines = RunDirectory(tmp_path).journal.lines()
    assert [line["step"] for line in lines] == [2, 4, 4]
    expected = {"step", "epoch", "loss", "bce", "soft_iou", "lr", "grad_norm", "images_per_s", "data_wait_share"}
    assert lines[0].keys() == expected and lines[-1].keys() == {"step", "validation"}
    assert lines[0]["loss"] == pytest.approx(lines[0]["bce"] + lines[0]["soft_iou"])
    assert lines[0]["epoch"] == pytest.approx(8 / 5) and 0 <= lines[0]["data_wait_share"] <= 1


def test_the_environment_tells_processors_apart(tmp_path, monkeypatch):
    """Same recipe, other processor: other bytes, and other times."""
    listed, world = tmp_path / "cpuinfo", World(torch.device("cpu"))
    monkeypatch.setattr(run_dir, "_CPU_INFO", listed)
    monkeypatch.setattr(run_dir.platform, "processor", lambda: "what the system says")
    assert environment(world)["cpu"] == "what the system says"
    listed.write_text("processor\t: 0\n")
    assert environment(world)["cpu"] == "what the system says"
    listed.write_text("processor\t: 0\nmodel name\t: Abacus 3: fast\nprocessor\t: 1\nmodel name\t: Abacus 3: fast\n")
    assert environment(world)["cpu"] == "Abacus 3: fast"


def test_a_pickled_object_is_never_read(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"model": {}, "evil": nn.Linear(1, 1)})
    with pytest.raises(RefusalError, match="is no saved state"):
        checkpoints.load("step-000000001")
    assert checkpoints.newest() is None


def test_only_the_last_two_states_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (3, 20, 100):
        checkpoints.save(step, {"model": {}})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000000020.json", "step-000000020.pt", "step-000000100.json", "step-000000100.pt",
    ]  # fmt: skip


def test_fast_layout_leaves_what_would_crash_a_cpu():
    """The backward pass of a strided 1x1 convolution in channels_last order ends the process on CPUs."""
    safe, unsafe = nn.Conv2d(4, 4, 3, stride=2), nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1, stride=2))
    for model in (safe, unsafe):
        use_fast_layout(model, torch.device("cpu"))
    assert safe.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(part.weight.is_contiguous() for part in unsafe)


@pytest.mark.parametrize(("amp", "allowed"), [("off", False), ("bf16", True)])
def test_float32_is_not_rounded_to_tensorfloat_on_gpus(monkeypatch, amp, allowed):
    """PyTorch's default lets convolutions of float32 round their inputs to 10 bits there."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", not allowed)  # put back after the test
    Learner(ToyTask(ToyNet(), None, None), toy_config(1, amp=amp), World(torch.device("cpu")))
    assert torch.backends.cudnn.allow_tf32 == allowed
