"""``denoise``: predict one noisy version of a frame from another. Needs no labels at all.

``pair``         frame + n from frame + n', two independent draws (Noise2Noise, Lehtinen et al., ICML 2018); the grain a frame
                 already has is in both and is learnt along
``recorrupted``  frame - n / a from frame + a n, one draw (Recorrupted-to-Recorrupted, Pang et al., CVPR 2021): the two
                 errors are uncorrelated, the frame's own grain included, when n has the covariance of that grain; column noise,
                 which is not drawn here, would violate it

Noise comes from windows that the frame's source has recorded, with white noise of the grain that insertion added to the frame;
else it is white at the grain measured in the frame. Squared errors keep the mean, absolute ones the median. The network says what
is to be added to what it sees (residual learning: DnCNN, Zhang et al., TIP 2017), so that it need not know the level of a frame,
which its normalisation may take away. Frames are taken as composed, before radiometry, whose gain would change the noise.

Shapes: B views, T tiles of noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from pretrain.backbones.blocks import ImageNorm
from pretrain.compose import Composed
from pretrain.compose.noise import estimate_grain, num_tiles, tile_noise
from pretrain.objectives.base import Objective, ObjectiveConfig
from pretrain.objectives.draws import Purpose, draw_normals, draw_uniforms
from pretrain.objectives.reconstruction import ReconstructionHead, mean_error
from pretrain.segmenter import Segmenter


class DenoiseConfig(ObjectiveConfig):
    """Settings of :class:`Denoise`.

    Attributes:
        weight: Factor of its loss: an auxiliary objective.
        form: Which two versions; default: the unbiased one for frames that are noisy themselves.
        alpha: Of ``recorrupted`` (0.5 as in R2RLoss of deepinv/deepinv).
        strength: Factor of the noise; ``recorrupted`` is unbiased at 1 only.
        loss: ``l2`` or ``l1``.
        dims: Width of the head.
    """

    kind: Literal["denoise"] = "denoise"
    weight: float = Field(0.1, gt=0, allow_inf_nan=False)
    form: Literal["pair", "recorrupted"] = "recorrupted"
    alpha: float = Field(0.5, gt=0, le=4, allow_inf_nan=False)
    strength: float = Field(1.0, gt=0, le=10, allow_inf_nan=False)
    loss: Literal["l2", "l1"] = "l2"
    dims: int = Field(32, ge=1)


class Denoise(Objective):
    """The objective; see the module's docstring.

    Args:
        config: Its settings.
        model: The network, of which only the encoder is trained.
    """

    uses_noise: ClassVar[bool] = True

    def __init__(self, config: DenoiseConfig, model: Segmenter) -> None:
        super().__init__()
        self._config = config
        self.head = ReconstructionHead(model.backbone, config.dims)
        self._normalise = ImageNorm()

    def parts(self, model: Segmenter, composed: Composed, step: int) -> Mapping[str, Tensor]:
        """Return the error over valid pixels, in (squared) standard deviations of what the network sees."""
        with torch.autocast(composed.images_B1HW.device.type, enabled=False):
            seen, hidden = self.versions(composed)
            target = (hidden - seen) / self._normalise.measure(seen)[1]
        error = self.head(model.encode(seen)) - target
        measured = error.square() if self._config.loss == "l2" else error.abs()
        return {self._config.loss: mean_error(measured, composed.batch.valid_B1HW)}

    def versions(self, composed: Composed) -> tuple[Tensor, Tensor]:
        """Return what the network sees and what it predicts, float32 (B, 1, H, W), not clamped."""
        images, config = composed.images_B1HW, self._config
        noise = config.strength * draw_noise(composed, 0)[:, None]
        if config.form == "recorrupted":
            return images + config.alpha * noise, images - noise / config.alpha
        return images + noise, images + config.strength * draw_noise(composed, 1)[:, None]


def draw_noise(composed: Composed, number: int) -> Tensor:
    """Return noise like that of each frame, float32 (B, H, W).

    Args:
        composed: The frames, with the noise windows of their sources.
        number: Which of several independent draws.
    """
    normals_BHW = draw_normals(composed, Purpose.NOISE, number)
    white = estimate_grain(composed.images_B1HW[:, 0])[:, None, None] * normals_BHW
    recorded = composed.noise
    if recorded is None:
        return white
    count = num_tiles(recorded.windows_MSS.shape[1], composed.hw)
    windows, turns = draw_uniforms(composed, Purpose.NOISE_WINDOWS, 4 * count).view(-1, 2, 2, count)[:, number].unbind(1)
    sources = torch.from_numpy(composed.batch.sources).to(white.device, non_blocking=True)
    chosen_BT, has_any_B = recorded.chosen(sources, windows)
    tiled = tile_noise(recorded.windows_MSS[chosen_BT], (8 * turns).long(), composed.hw)
    return torch.where(has_any_B[:, None, None], tiled + composed.grain_B[:, None, None] * normals_BHW, white)
