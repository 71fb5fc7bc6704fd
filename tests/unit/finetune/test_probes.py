"""Probes against what can be worked out by hand, on networks whose features are the pixels themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from finetune import score
from finetune.detectors.base import Detector, Prediction
from finetune.losses import LossConfig
from finetune.predict import predict_frames
from finetune.probe_pixels import CLEARANCE_PX, HARD_PEAKS, PixelKind, PixelProbe, Pixels
from finetune.probes import average_precision, classify_pixels, compare_neighbours, find_without_labels
from pretrain.backbones import Backbone
from synth.errors import SourceError
from tests.support.builders import frame_of, scene, texture

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


class Looking(Backbone):
    """Its maps are the image, and every fourth pixel of its negative; a third map is too coarse to be read."""

    channels, strides = (1, 1, 1), (1, 4, 8)

    def forward(self, images_BCHW):
        return images_BCHW, -images_BCHW[..., ::4, ::4], images_BCHW[..., ::8, ::8]


class Plain(Detector):
    """Log-odds 20 (x - 0.5)."""

    def __init__(self):
        super().__init__(Looking(), LossConfig())
        self.scale = nn.Parameter(torch.tensor(20.0))

    def decode(self, maps):
        return Prediction(self.scale * (maps[0] - 0.5))


def frames_of(count, first=0, hw=(60, 70)):
    """Return frames with two bright targets each, at levels 200 to 240 over 90 to 114."""
    boxes = [(8 + k, 10, 11 + k, 13) for k in range(count)]
    return [scene(f"f{first + k}", hw, [box, (40, 50, 43, 52)]) for k, box in enumerate(boxes)]


@pytest.fixture
def probe():
    return PixelProbe(Plain(), CPU, 0)


def test_every_pixel_in_raster_order(probe, monkeypatch):
    """Sides that are no multiples of the stride; in parts smaller than a frame the result is the same."""
    (frame,) = frames_of(1)
    (whole,) = probe.every_pixel(frame)
    assert whole.shape == (60 * 70, 2) and np.allclose(whole[:, 0], frame.levels.ravel() / 255, atol=1e-6)
    assert np.allclose(whole[70 * 8 + 16, 1], -float(frame.levels[8, 16]) / 255, atol=1e-6), "a cell's own pixel"
    monkeypatch.setattr("finetune.probe_pixels._AT_ONCE", 1000)
    parts = list(probe.every_pixel(frame))
    assert len(parts) == 5 and np.array_equal(np.concatenate(parts), whole)


def test_pixels_are_of_their_kind(probe):
    frames = frames_of(3)
    pixels = probe.sample(frames)
    assert np.bincount(pixels.kinds_N).tolist() == [6, 3 * 15, 3 * HARD_PEAKS, 3 * 24]
    assert pixels.of(PixelKind.TARGET)[:, 0].min() > 0.75 and pixels.of(PixelKind.HARD, PixelKind.RANDOM)[:, 0].max() < 0.5
    assert pixels.of(PixelKind.HARD)[:, 0].mean() > pixels.of(PixelKind.RANDOM)[:, 0].mean()
    again = PixelProbe(Plain(), CPU, 0).sample(frames)
    assert np.array_equal(again.features_ND, pixels.features_ND)
    assert not np.array_equal(PixelProbe(Plain(), CPU, 1).sample(frames).features_ND, pixels.features_ND)


def test_background_keeps_clear_of_masks(probe):
    frame = frames_of(1)[0]
    places, kinds = probe._choose(frame)
    targets = np.argwhere(frame.mask)
    for place in places[kinds >= PixelKind.HARD]:
        assert np.abs(targets - place).max(axis=1).min() > CLEARANCE_PX


def test_bright_targets_are_told_apart(probe):
    known, asked = probe.sample(frames_of(4)), probe.sample(frames_of(3, 10))
    found = classify_pixels(probe, known, frames_of(3, 10))
    assert found["average_precision"] > 99.9 and found["num_features"] == 2
    assert found["prevalence"] == pytest.approx(100 * 15 / (60 * 70))
    neighbours = compare_neighbours(known, asked)
    assert neighbours["auroc"] > 99 and (neighbours["known_targets"], neighbours["asked_targets"]) == (8, 6)


def test_noise_tells_nothing():
    """200 and 200 points without a difference: the area strays from a half by less than four of its deviations of 2.9 %."""
    rng = np.random.default_rng(3)
    kinds = np.repeat([int(PixelKind.CENTRE), int(PixelKind.HARD)], 200)
    known, asked = (Pixels(rng.normal(size=(400, 6)), kinds) for _ in range(2))
    assert abs(compare_neighbours(known, asked)["auroc"] - 50) < 12


def test_neighbours_vote_as_by_hand():
    """Cosine over features centred and scaled by the known ones, 20 nearest."""
    rng = np.random.default_rng(5)
    kinds = np.repeat([int(PixelKind.CENTRE), int(PixelKind.HARD)], 30)
    shift = np.where(kinds == PixelKind.CENTRE, 0.7, 0.0)[:, None]
    known, asked = (Pixels(3 + rng.normal(size=(60, 4)) + shift, kinds) for _ in range(2))
    mean, scale = known.features_ND.mean(0), known.features_ND.std(0)
    votes = []
    for query in (asked.features_ND - mean) / scale:
        bank = (known.features_ND - mean) / scale
        cosine = bank @ query / np.linalg.norm(bank, axis=1) / np.linalg.norm(query)
        votes.append((kinds[np.argsort(-cosine)[:20]] == PixelKind.CENTRE).mean())
    pairs = [(a > b) + (a == b) / 2 for a in votes[:30] for b in votes[30:]]
    assert compare_neighbours(known, asked)["auroc"] == pytest.approx(100 * np.mean(pairs))


def test_average_precision():
    scores, labels = np.array([0.9, 0.8, 0.8, 0.3, 0.1]), np.array([True, False, True, False, True])
    assert average_precision(scores, labels) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)  # the tie counts as one step
    assert average_precision(scores, labels[::-1]) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    rng = np.random.default_rng(1)
    drawn, marked = rng.normal(size=500).astype(np.float32), rng.random(500) < 0.2
    order = np.argsort(-drawn)
    precision = np.cumsum(marked[order]) / np.arange(1, 501)
    assert average_precision(drawn, marked) == pytest.approx(precision[marked[order]].mean())
    assert np.isnan(average_precision(drawn, marked & False))


def test_detection_is_scored_as_elsewhere():
    """At 0.5 and at the chosen threshold the scores are those of ``finetune.score``; the choice looks at other frames only."""
    model, choosing, frames = Plain(), frames_of(2), frames_of(3, 10)
    dim = frame_of(texture("dim", (60, 70), low=90, high=110), np.zeros((60, 70)), name="dim")
    frames.append(frame_of(np.where(np.arange(70) > 65, 150, dim.levels), dim.mask, name="edge"))
    found = find_without_labels(model, choosing, frames, CPU, own=0.999)
    assert set(found["thresholds"]) == {"half", "chosen", "own"} and found["choosing_iou"] == pytest.approx(100.0)
    maps = [probability for _, probability in predict_frames(model, frames, device=CPU, amp=False)]
    for row in found["thresholds"].values():
        expected = score(maps, [frame.mask > 0 for frame in frames], threshold=row["threshold"])
        for name in ("iou", "niou", "pd", "fa"):
            assert row[name] == pytest.approx(getattr(expected, name)), name
    assert found["thresholds"]["half"]["fa"] > 0 and found["thresholds"]["own"]["fa"] == 0
    assert found["curves"]["best_pd_at_fa"]["1"] == 100.0
    rows, last = found["over_thresholds"], 200  # 200 of 256 levels is a probability of 0.99
    expected = score(maps, [frame.mask > 0 for frame in frames], threshold=rows["threshold"][last])
    assert len(rows["iou"]) == 256 and 0.98 < rows["threshold"][last] < 1
    assert [rows[name][last] for name in ("iou", "pd", "fa")] == pytest.approx([expected.iou, expected.pd, expected.fa])


def test_frames_that_teach_nothing_are_refused(probe):
    empty = frame_of(texture("e", (60, 70)), np.zeros((60, 70)), name="e")
    with pytest.raises(SourceError, match="hold no target"):
        probe.sample([empty])
    with pytest.raises(SourceError, match="frame u: has no mask"):
        probe.sample([frame_of(texture("u", (60, 70)), name="u")])
    with pytest.raises(SourceError, match=r"frames that choose a threshold: none of 1 \(first e\) holds a target"):
        find_without_labels(Plain(), [empty], frames_of(1), CPU)
    few = probe.sample(frames_of(1))
    with pytest.raises(SourceError, match="must give 20 known points and both classes to ask for, got 10 known"):
        compare_neighbours(few, few)


def test_pixels_are_asked_in_float32(probe, monkeypatch):
    """Whatever trained before in this process."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # put back after the test
    probe.encode(frames_of(1)[0])
    assert not torch.backends.cudnn.allow_tf32


def test_asking_leaves_the_network_as_it_was(probe):
    model = probe._model.train()
    list(probe.every_pixel(frames_of(1)[0]))
    assert model.training
