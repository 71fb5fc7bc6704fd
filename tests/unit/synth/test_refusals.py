"""Refused places are counted by background class, once a scene."""

import numpy as np
import pytest

from synth.refusals import Refusals, refusals_by_regime
from synth.scene import SceneConfig
from synth.scene.frame import SceneRenderer
from synth.scene.truth import Regime


def columns_of(frames: list) -> dict[str, np.ndarray]:
    truths = [frame.truth for frame in frames]
    return {
        "sample/regime": np.array([t.regime for t in truths], np.uint8),
        "sample/num_targets": np.array([len(t.targets) for t in truths]),
        "sample/num_rejected": np.array([t.num_rejected for t in truths]),
        "sample/sequence_id": np.array([t.sequence_id for t in truths]),
        "sample/frame_index": np.array([t.frame_index for t in truths]),
    }


def test_counts_add_up_for_every_background() -> None:
    """A realised ratio of 1 is refused where the clutter under the target exceeds it, or where counts cannot build it."""
    config = SceneConfig(
        frame_hw=(96, 96), sensor="space_staring", regimes={"space": 1.0, "cloud": 1.0},
        scr={"mode": "realised", "low": 1.0, "high": 1.5}, targets={"empty_share": 0.0},
    )  # fmt: skip
    renderer = SceneRenderer(config, 2)
    frames = [renderer.render(index) for index in range(60)]
    counts = refusals_by_regime(columns_of(frames))
    assert set(counts) == {Regime.SPACE, Regime.CLOUD}
    for regime, count in counts.items():
        truths = [f.truth for f in frames if f.truth.regime is regime]
        assert count == Refusals(sum(len(t.targets) for t in truths), sum(t.num_rejected for t in truths))
        assert 0.0 < count.share < 1.0


def test_a_sequence_counts_once() -> None:
    columns = {
        "sample/regime": np.array([0, 0, 0, 2]), "sample/num_targets": np.array([3, 3, 2, 1]),
        "sample/num_rejected": np.array([6, 6, 6, 0]), "sample/sequence_id": np.array([0, 0, 0, -1]),
        "sample/frame_index": np.array([0, 1, 2, 0]),
    }  # fmt: skip
    assert refusals_by_regime(columns) == {Regime.SKY: Refusals(3, 6), Regime.SEA: Refusals(1, 0)}
    assert Refusals(3, 6).share == pytest.approx(2.0 / 3.0)
    assert Refusals(0, 0).share == 0.0
