"""Laws over every named detector: any size, encode and decode, published parameter counts, gradients, a prior to start from."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from finetune.detectors import Detector, Prediction, build_detector, detector_names, detector_settings
from synth.errors import RecipeError, SourceError

SMALL = {
    "acm": {"backbone": {"widths": (4, 8, 8), "blocks": (1, 1, 1)}},
    "dnanet": {"backbone": {"widths": (4, 4, 8), "blocks": (1, 1)}, "fusion_channels": 4},
}


@dataclass(frozen=True)
class Labelled:
    masks_B1HW: Tensor
    valid_B1HW: Tensor


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def create(name: str, **config) -> Detector:
    return build_detector(detector_settings(name, **config))


def num_parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "in_channels", "millions"),
    [
        ("acm", 1, 0.398),  # BasicIRSTD's table: ACM 0.398 M, which is the U-Net form with three blocks a stage
        ("dnanet", 3, 4.697),  # DNANet's table: 4.697 M with three input channels
        ("dnanet", 1, 4.697),
    ],
)
def test_published_parameter_counts(name, in_channels, millions):
    assert round(num_parameters(create(name, backbone={"in_channels": in_channels})) / 1e6, 3) == millions


def test_sirst5k_column_is_deeper():
    """3 + 4 + 6 + 3 blocks in place of 2 + 2 + 2 + 2 on the levels below the first, in the column and in every node there."""
    deep = create("dnanet_34")
    assert [len(level) for level in deep.backbone.levels] == [1, 3, 4, 6, 3]
    assert [len(deep.nodes[f"{level}_1"]) for level in range(4)] == [1, 3, 4, 6]


@pytest.mark.parametrize("name", detector_names())
@pytest.mark.parametrize("hw", [(32, 32), (33, 50), (96, 64)])
def test_any_size_any_batch(name, hw):
    model = create(name, **SMALL.get(name, {})).eval()
    with torch.no_grad():
        for batch in (1, 2):
            prediction = model(torch.rand(batch, 1, *hw))
            assert all(logits.shape == (batch, 1, *hw) for logits in (prediction.logits_B1HW, *prediction.auxiliary))
            assert torch.isfinite(prediction.logits_B1HW).all()


@pytest.mark.parametrize("name", detector_names())
def test_training_takes_a_single_image(name):
    """Pooled 1x1 maps have one value a channel: plain batch normalisation refuses them."""
    model = create(name, **SMALL.get(name, {})).train()
    model(torch.rand(1, 1, 32, 32)).logits_B1HW.sum().backward()


@pytest.mark.parametrize("name", detector_names())
def test_forward_is_decode_of_encode_and_the_deepest_map_matters(name):
    model = create(name, **SMALL.get(name, {})).eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        maps = model.encode(images)
        assert maps[-1].shape == (2, model.deep_channels, 64 // model.deep_stride, 64 // model.deep_stride)
        torch.testing.assert_close(model.decode(maps).logits_B1HW, model(images).logits_B1HW, rtol=0, atol=0)
        changed = model.decode((*maps[:-1], maps[-1] + 1.0)).logits_B1HW
    assert not torch.equal(changed, model(images).logits_B1HW.detach())


@pytest.mark.parametrize("name", detector_names())
def test_every_parameter_gets_a_gradient(name):
    model = create(name, **SMALL.get(name, {})).train()
    masks = (torch.rand(4, 1, 64, 64) < 0.05).float()
    parts = model.loss(model(torch.rand(4, 1, 64, 64)), Labelled(masks, torch.ones_like(masks, dtype=torch.bool)))
    torch.stack(tuple(parts.values())).sum().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


@pytest.mark.parametrize("name", ["acm", "acm_nano", "dnanet_nano"])
def test_an_untrained_network_predicts_the_prior(name):
    """Its logits scatter around logit(1e-3); none starts by calling the frame a target."""
    model = create(name).train()
    with torch.no_grad():
        probability = torch.sigmoid(model(torch.rand(4, 1, 64, 64)).logits_B1HW)
    assert 1e-4 < float(probability.median()) < 1e-2


def test_deep_supervision_is_the_mean_over_maps():
    model = create("dnanet", **SMALL["dnanet"])
    logits = tuple(torch.randn(2, 1, 32, 32) for _ in range(3))
    batch = Labelled(torch.ones(2, 1, 32, 32), torch.ones(2, 1, 32, 32, dtype=torch.bool))
    alone = [model.loss(Prediction(one), batch)["soft_iou"] for one in logits]
    together = model.loss(Prediction(logits[2], logits[:2]), batch)["soft_iou"]
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_padding_is_cropped_and_changes_nothing_far_away():
    """40 px are padded to 48: what lies further from the border than the receptive field is as in a whole frame of 48."""
    model = create("acm", **SMALL["acm"]).eval()
    images = torch.rand(1, 1, 36, 36)
    padded = torch.nn.functional.pad(images, (0, 12, 0, 12), mode="replicate")
    with torch.no_grad():
        torch.testing.assert_close(model(images).logits_B1HW, model(padded).logits_B1HW[..., :36, :36])


def test_faults_are_named():
    with pytest.raises(RecipeError, match=r"detector must be one of acm, .*, got 'dnanett'; did you mean dnanet"):
        detector_settings("dnanett")
    with pytest.raises(RecipeError, match=r"detector.depth: no such setting; known: .*target_prior"):
        detector_settings("acm", depth=3)
    with pytest.raises(RecipeError, match=r"detector.backbone: .*blocks must have as many entries as widths, 3, got 2"):
        detector_settings("acm", backbone={"blocks": (1, 1)})
    with pytest.raises(SourceError, match=r"sides of at least 32 px, got 16x64"):
        create("acm_nano")(torch.rand(1, 1, 16, 64))


def test_settings_survive_json():
    """A run keeps them as JSON and builds the same network from it."""
    for name in detector_names():
        settings = detector_settings(name)
        assert type(settings).model_validate_json(settings.model_dump_json()) == settings


def test_public_names_and_weights(tmp_path):
    """``finetune.create_detector`` loads what a run saved, and refuses what belongs to another network."""
    import finetune
    from pretrain.runtime.weights import save_weights

    assert finetune.detector_names() == detector_names()
    one = finetune.create_detector("acm_nano")
    save_weights(tmp_path / "w.safetensors", one.state_dict(), {"kind": "random"})
    again = finetune.create_detector("acm_nano", weights=tmp_path / "w.safetensors")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in one.state_dict().items())
    with pytest.raises(SourceError, match=r"fill .* of this architecture"):
        finetune.create_detector("dnanet_nano", weights=tmp_path / "w.safetensors")
    with pytest.raises(AttributeError, match="has no attribute 'create_detectors'"):
        finetune.create_detectors  # noqa: B018
