"""A network, its objectives and their validation, as the step loop wants them.

Shapes: B views, S slots of a view, N points, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.batch import Batch
from pretrain.compose import Composed, Composer
from pretrain.compose.peaks import discs
from pretrain.health import rank_me, spread
from pretrain.objectives import Objective, ObjectiveConfig, build_objective
from pretrain.points import draw_points, sample_maps
from pretrain.segmenter import Segmenter

HIT_PX = 3.0
"""A target counts as found when a predicted pixel lies this near its centre: the field's distance between centroids."""
PROBED_POINTS = 24
"""Points of a view whose features are looked at: all that was inserted, the rest background (our choice)."""
PROBED_STRIDE = 4
"""Coarsest maps whose features are looked at: coarser ones average small targets away (our choice)."""


class PretrainModel(nn.Module):
    """The network and its objectives, whose own parameters train along.

    Args:
        segmenter: The network, a :class:`pretrain.segmenter.Segmenter`; what transfers.
        objectives: Settings of the objectives.
    """

    def __init__(self, segmenter: nn.Module, objectives: Sequence[ObjectiveConfig]) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.objectives = nn.ModuleDict()
        self.weights = {}
        for settings in objectives:
            kind: str = settings.kind  # type: ignore[attr-defined]
            self.objectives[kind] = build_objective(settings, self.network)
            self.weights[kind] = settings.weight

    @property
    def network(self) -> Segmenter:
        """The network by its contract."""
        segmenter: Segmenter = self.segmenter  # type: ignore[assignment]
        return segmenter

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network alone: torch 2.15 fails on what objectives draw on the host. Arguments as torch's."""
        for part in (self.segmenter, self.network.backbone):  # objectives call the one or the other
            part.compile(*args, **kwargs)

    def forward(self, composed: Composed, step: int) -> dict[str, Tensor]:
        """Return the weighted parts of all objectives, float32 scalars named ``kind_part``."""
        parts = {}
        for kind, objective in self.objectives.items():
            assert isinstance(objective, Objective)
            for name, value in objective.parts(self.network, composed, step).items():
                parts[f"{kind}_{name}"] = self.weights[kind] * value
        return parts


class PretrainTask:
    """What the step loop needs of a pretraining.

    Args:
        model: Network and objectives.
        composer: Makes composed frames of training batches.
        held_out: Batches of views for validation, composed by ``validator``.
        validator: Makes composed frames of them, the same at every validation.
        amp: Whether validation computes in bfloat16.
    """

    best_metric: str | None = None

    def __init__(
        self, model: PretrainModel, composer: Composer, held_out: Sequence[Batch], validator: Composer, *, amp: bool
    ) -> None:
        self.model: nn.Module = model
        self.trains_all = any(objective.uses_decoder for objective in model.objectives.values())
        self.pools_frames = any(objective.pools_frames for objective in model.objectives.values())
        self._inserts = any(objective.uses_insertion for objective in model.objectives.values())
        self._composer, self._held_out, self._validator, self._amp = composer, held_out, validator, amp

    @property
    def pretrained(self) -> PretrainModel:
        """The model; the loop may have replaced its normalisation layers for several GPUs."""
        assert isinstance(self.model, PretrainModel)
        return self.model

    def loss(self, batch: Batch, step: int) -> Mapping[str, Tensor]:
        """Return the weighted parts of all objectives on the batch's composed frames."""
        with torch.no_grad(), torch.autocast(batch.images_B1HW.device.type, enabled=False):
            composed = self._composer.compose(batch) if self._inserts else Composed.untouched(batch)
        parts: dict[str, Tensor] = self.model(composed, step)
        return parts

    def validate(self) -> Mapping[str, float]:
        """Return how the network does on held-out frames with synthetic targets.

        ``synthetic_iou`` (percent, pooled over valid pixels, probability 0.5), ``synthetic_pd`` (percent of targets),
        ``synthetic_fa`` (predicted pixels further than 3 px from every target, 1e-6 of valid pixels), ``impostors_taken``
        (percent of impostors with a predicted pixel on them), and rank and spread of the encoder's features at targets and at
        background.
        """
        counts, features, is_target = _Counts(), [], []
        for batch in self._held_out:
            composed = self._validator.compose(batch)
            device = composed.first_B1HW.device
            with torch.autocast(device.type, torch.bfloat16, enabled=self._amp):
                maps = self.pretrained.network.encode(composed.first_B1HW)
                logits = self.pretrained.network.decode(maps).logits_B1HW
            counts.add(composed, logits > 0)
            points = draw_points(composed, PROBED_POINTS, 0)
            found = sample_maps(maps, self.pretrained.network.backbone.strides, points.places_BN2, PROBED_STRIDE)
            usable = points.is_target_BN & points.is_valid_BN, points.is_valid_BN & ~points.is_target_BN
            usable[1][:, : composed.kinds_BS.shape[1]] = False
            features += [found[part] for part in usable]
            is_target += [True, False]
        measured = counts.scores()
        for name, wanted in (("targets", True), ("background", False)):
            rows = torch.cat([part for part, flag in zip(features, is_target, strict=True) if flag == wanted])
            measured |= {f"rank_{name}": rank_me(rows), f"spread_{name}": spread(rows)}
        return measured


class _Counts:
    """Pixels, targets and impostors counted over batches."""

    def __init__(self) -> None:
        self._sums = torch.zeros(8, dtype=torch.float64)

    def add(self, composed: Composed, predicted_B1HW: Tensor) -> None:
        """Count one batch."""
        valid, hw = composed.valid_B1HW[:, 0], composed.hw
        predicted, masks = predicted_B1HW[:, 0] & valid, (composed.masks_B1HW[:, 0] > 0) & valid
        targets = composed.centres_BS2.masked_fill(~composed.is_target_BS[:, :, None], torch.nan)
        is_near = discs(targets, hw, HIT_PX) | masks
        lit = torch.stack([(discs(composed.centres_BS2[:, s, None], hw, HIT_PX) & predicted).flatten(1).any(1)
                           for s in range(composed.kinds_BS.shape[1])], 1)  # fmt: skip
        parts = (predicted & masks, predicted | masks, predicted & ~is_near, valid)
        slots = (lit & composed.is_target_BS, composed.is_target_BS, lit & composed.is_impostor_BS, composed.is_impostor_BS)
        self._sums += torch.stack([part.sum() for part in (*parts, *slots)]).double().cpu()

    def scores(self) -> dict[str, float]:
        """Return the ratios, each over what there is of its kind."""
        shared, either, false, valid, found, targets, taken, impostors = self._sums.tolist()
        return {
            "synthetic_iou": 100.0 * shared / max(either, 1.0),
            "synthetic_pd": 100.0 * found / max(targets, 1.0),
            "synthetic_fa": 1e6 * false / max(valid, 1.0),
            "impostors_taken": 100.0 * taken / max(impostors, 1.0),
        }
