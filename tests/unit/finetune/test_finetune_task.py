"""Validation of a run: threshold from the curves, native sizes, nothing when there is nothing to validate on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from finetune.detectors import build_detector, create_detector, detector_settings
from finetune.metrics import CurveTally
from finetune.predict import on_wide_scale, predict_frames, probability_of
from finetune.task import FinetuneTask, best_threshold, on_logit_scale
from pretrain.batch import Batch
from synth.errors import SourceError
from tests.support.builders import frame_of, scene

CPU = torch.device("cpu")


class Brightness(nn.Module):
    """Says that bright is a target: logit = 20 (x - 0.5)."""

    def forward(self, images_BCHW: Tensor) -> Brightness.Maps:
        return self.Maps(20.0 * (images_BCHW - 0.5))

    class Maps:
        def __init__(self, logits: Tensor) -> None:
            self.logits_B1HW = logits


def curves_of(*pairs):
    tally = CurveTally()
    for number, (probability, mask) in enumerate(pairs):
        tally.update(on_logit_scale(np.asarray(probability, np.float32)), np.asarray(mask, bool), f"f{number}")
    return tally.result()


def test_best_threshold_is_the_middle_of_the_longest_best_run():
    """Targets at .75, background at .25: every threshold in [.25, .75) is perfect; the middle is chosen, not an edge."""
    probability = np.full((8, 8), 0.25)
    probability[2:4, 2:4] = 0.75
    threshold, iou = best_threshold(curves_of((probability, probability > 0.5)))
    assert iou == 1.0 and threshold == 0.5


def test_best_threshold_prefers_a_plateau_to_a_spike():
    """70 % from 0.25 to 0.5 of the scale, 70.5 % at one step further up: the plateau's middle, and the spike's IoU."""
    iou = np.full(256, 0.3)
    iou[64:128], iou[240] = 0.70, 0.705
    curves = SimpleNamespace(iou=iou, thresholds=np.arange(256) / 256)
    threshold, best = best_threshold(curves)  # type: ignore[arg-type]
    assert best == 0.705 and threshold == pytest.approx(1 / (1 + np.exp(-16.0 * (0.375 - 0.5))))
    iou[240] = 0.72
    assert best_threshold(curves)[0] > 0.99, "2 points are worth it"  # type: ignore[arg-type]


def test_best_threshold_weighs_misses_against_false_alarms():
    probability = np.zeros((8, 8))
    mask = np.zeros((8, 8), bool)
    probability[0, :3], mask[0, :3] = 0.9, True  # three sure target pixels
    probability[4, :2] = 0.6  # two false ones below them
    probability[6, 0], mask[6, 0] = 0.3, True  # one faint target pixel
    threshold, iou = best_threshold(curves_of((probability, mask)))
    assert iou == 0.75 and 0.6 <= threshold < 0.9


def test_best_threshold_tells_sure_from_surer():
    """False pixels at .998 beside true ones at .9995: the 256 even steps of the probability end at .9961, below both."""
    probability = np.zeros((8, 8))
    probability[0, :3], probability[4, :3] = 0.9995, 0.998
    mask = probability > 0.999
    threshold, iou = best_threshold(curves_of((probability, mask)))
    assert iou == 1.0 and 0.998 <= threshold < 0.9995


def test_logit_scale_keeps_order_and_ends():
    scaled = on_logit_scale(np.array([0.0, 1e-4, 0.3, 0.5, 0.9, 0.999, 1.0], np.float32))
    assert (np.diff(scaled)[1:-1] > 0).all() and scaled[0] == scaled[1] == 0.0 and scaled[-1] == 1.0 and scaled[3] == 0.5


def test_frames_keep_order_and_size():
    frames = [scene("a", (40, 48)), scene("b", (40, 48)), scene("c", (20, 50)), scene("d", (33, 65)), scene("e", (40, 48))]
    found = list(predict_frames(Brightness(), frames, device=CPU, amp=False, batch=2))  # type: ignore[arg-type]
    assert [frame.id for frame, _ in found] == list("abcde")
    for frame, probability in found:
        expected = 1 / (1 + np.exp(-20.0 * (frame.image().astype(np.float64) - 0.5)))
        np.testing.assert_allclose(probability, expected, atol=1e-6)  # float32; a shift or a resize would give 1e-2 and more


def test_sixteen_bits_are_scaled_by_their_own_top():
    frame = frame_of(np.full((32, 32), 8191), np.zeros((32, 32)), max_level=16382)
    ((_, probability),) = predict_frames(Brightness(), [frame], device=CPU, amp=False)  # type: ignore[arg-type]
    np.testing.assert_allclose(probability, 0.5, atol=1e-3)


def test_prediction_leaves_the_mode_as_it_was():
    model = build_detector(detector_settings("acm_nano")).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    list(predict_frames(model, [scene("a", (40, 48))], device=CPU, amp=False))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "statistics moved"


def test_validation_of_a_detector():
    model = build_detector(detector_settings("acm_nano"))
    frames = [scene("a", (40, 48), [(5, 5, 8, 8)]), scene("b", (36, 40))]
    found = FinetuneTask(model, frames, CPU, amp=False).validate()
    assert found["val_iou"] == 0.0 and found["val_fa"] == 0.0, "an untrained network predicts the prior, below 0.5"
    assert 0.0 <= found["val_best_iou"] <= 100.0 and 0.0 <= found["val_best_threshold"] < 1.0
    without = FinetuneTask(model, [], CPU, amp=False)
    assert without.validate() == {} and without.best_metric is None


def test_frames_without_a_target_choose_no_threshold():
    model = build_detector(detector_settings("acm_nano"))
    with pytest.raises(SourceError, match=r"none of 2 \(first a\) holds a target; give a list of frames with targets"):
        FinetuneTask(model, [scene("a", (40, 48)), scene("b", (36, 40))], CPU, amp=False)


@pytest.mark.parametrize(("loss", "is_pooled"), [({}, False), ({"reduce": "batch"}, True), ({"hard_bce": 1.0}, True)])
def test_a_loss_over_frames_is_known(loss, is_pooled):
    assert FinetuneTask(create_detector("acm_nano", loss=loss), [], CPU, amp=False).pools_frames is is_pooled


@pytest.mark.parametrize("amp", [False, True])
def test_float32_is_float32_wherever_frames_are_predicted(monkeypatch, amp):
    """Whatever trained before in this process: PyTorch's default lets convolutions on GPUs round to 10 bits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", not amp)  # put back after the test
    list(predict_frames(Brightness(), [scene("a", (40, 48))], device=CPU, amp=amp))  # type: ignore[arg-type]
    assert torch.backends.cudnn.allow_tf32 is amp


def test_unlabelled_frames_teach_nothing():
    """A frame without a mask stands in the batch with an empty one: it must not be learnt as background."""
    model = build_detector(detector_settings("acm_nano")).eval()  # so that frames do not meet in the normalisation
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, 0, 4:6, 4:6] = 1
    nothing = np.zeros(2, np.int64)
    task = FinetuneTask(model, [], CPU, amp=False)

    def gradient(image: Tensor) -> Tensor:
        images = torch.stack([torch.linspace(0, 1, 1024).reshape(1, 32, 32), image])
        valid, labelled = torch.ones(2, 1, 32, 32, dtype=torch.bool), torch.tensor([True, False])
        model.zero_grad()
        parts = task.loss(Batch(images, masks, valid, labelled, nothing, nothing, nothing), 0)
        torch.stack(tuple(parts.values())).sum().backward()
        return torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None])

    first, second = gradient(torch.zeros(1, 32, 32)), gradient(torch.rand(1, 32, 32))
    assert first.abs().max() > 0
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", ["acm_nano", "dnanet_nano"])
def test_loss_has_named_float32_parts(name):
    from tests.unit.finetune.detectors.test_detectors import Labelled

    model = build_detector(detector_settings(name))
    masks = torch.zeros(2, 1, 32, 32)
    masks[:, :, 4:6, 4:6] = 1
    with torch.autocast("cpu", torch.bfloat16):
        parts = model.loss(model(torch.rand(2, 1, 32, 32)), Labelled(masks, torch.ones_like(masks, dtype=torch.bool)))
    assert set(parts) == {"soft_iou", "bce"}
    assert all(part.dtype == torch.float32 and part.ndim == 0 for part in parts.values())


def test_wide_scale_tells_what_probabilities_call_equally_sure():
    logits = np.array([-2000.0, -300.0, -8.0, 0.0, 8.0, 20.0, 200.0, 300.0, 1000.0], np.float32)
    assert (probability_of(logits)[5:] == 1.0).all(), "float32 has no probability between these"
    scaled = on_wide_scale(logits)
    assert scaled[0] == 0.0 and scaled[3] == 0.5 and scaled[-1] == 1.0 and scaled.dtype == np.float32
    steps = np.diff(np.floor(256.0 * scaled))
    assert (steps[:-1] >= 4).all(), "curves over 256 thresholds tell them all"
