"""Weights for others: the same bytes every time, and no file of another architecture slips in."""

from __future__ import annotations

import pytest
import torch

from pretrain.runtime.weights import load_weights, read_weights, save_weights
from synth.errors import SourceError
from tests.support.training import ToyNet

PROVENANCE = {"init": "random", "recipe_hash": "0" * 64, "z": 1, "a": [1, 2]}


def test_weights_come_back_with_their_provenance_in_the_same_bytes(tmp_path):
    model = ToyNet("batch")
    digests = {save_weights(tmp_path / f"{i}.safetensors", model.state_dict(), PROVENANCE) for i in range(3)}
    assert len(digests) == 1
    other = ToyNet("batch")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(float("nan"))  # so that a tensor that is not loaded cannot pass
    report = load_weights(other, tmp_path / "0.safetensors")
    assert report.provenance == PROVENANCE and set(report.matched) == model.state_dict().keys()
    assert not report.missing and not report.unexpected
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_weights_of_another_architecture_are_refused_unless_told(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, ToyNet("batch").state_dict(), {})
    model = ToyNet("group")  # has no running statistics; the rest fits
    assert load_weights(model, path).unexpected == ("norm.num_batches_tracked", "norm.running_mean", "norm.running_var")
    save_weights(path, {"first.weight": torch.zeros(4, 1, 3, 3), "first.bias": torch.zeros(5)}, {})
    with pytest.raises(SourceError, match=r"fill 1 of 6 tensors of ToyNet \(missing first.bias, .*--allow-partial"):
        load_weights(model, path)
    report = load_weights(model, path, allow_partial=True)
    assert report.matched == ("first.weight",) and "first.bias" in report.missing and not model.first.weight.any()
    save_weights(path, {"backbone.weight": torch.zeros(1)}, {})
    with pytest.raises(SourceError, match="fill 0 of 6"):
        load_weights(model, path, allow_partial=True)


def test_a_damaged_or_missing_file_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(SourceError, match=r"cannot be read \(.*\); give a run folder or a .safetensors file"):
        read_weights(path)
    with pytest.raises(SourceError, match=rf"weights {tmp_path}/weights.safetensors: cannot be read"):
        read_weights(tmp_path)
    path.write_bytes(b"not weights")
    with pytest.raises(SourceError, match="cannot be read"):
        read_weights(path)
