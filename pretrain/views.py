"""Random views of frames, batched on the device: lossless geometry by default, everything else on request.

A view depends on its position in the training order alone: not on the batch, the rank, the threads or what came before.
Order: crop, flips, quarter turn and patch rotation as one index map; pasted targets; warp; noise mixing; blur, gamma, gain and
offset, grain, columns; one clamp to [0, 1]. Validation and tests use no views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pretrain.frames import Fetched, FramePool
from pretrain.material import DONOR_PX, Donors
from pretrain.view_config import NoiseMix, PatchTurn, Radiometry, ViewConfig, Warp
from pretrain.view_levels import both_ways, change_levels
from pretrain.view_ops import gather_levels, move_pixels, paste_targets, stretch_windows, warp
from pretrain.view_plan import Draw, Floats, Integers, draw_uniforms, plan_cuts, plan_patch_turns, valid_extent
from synth.rng import Stream

__all__ = ["NoiseMix", "PatchTurn", "Radiometry", "View", "ViewConfig", "Views", "Warp"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Views of some frames, before anything is mixed into them.

    Attributes:
        images_BHW: float32 in [0, 1].
        masks_BHW: float32 in {0, 1}.
        valid_BHW: bool.
        origin_rc: int64 (B, 2), first pixel of each in its frame, on the host as the next.
        frame_hw: int64 (B, 2), sizes of the frames.
        valid_boxes: int64 (B, 4), first row, first column, rows and columns of the valid region.
    """

    images_BHW: Tensor
    masks_BHW: Tensor
    valid_BHW: Tensor
    origin_rc: Integers
    frame_hw: Integers
    valid_boxes: Integers

    @staticmethod
    def joined(views: Sequence[View], order: Integers) -> View:
        """Put views of several pools into one batch.

        Args:
            views: The views, pool after pool.
            order: int64 (B,), which of all of them comes at each place.
        """
        if len(views) == 1:
            return views[0]
        on_device = torch.from_numpy(order).to(views[0].images_BHW.device, non_blocking=True)
        return View(
            images_BHW=torch.cat([view.images_BHW for view in views]).index_select(0, on_device),
            masks_BHW=torch.cat([view.masks_BHW for view in views]).index_select(0, on_device),
            valid_BHW=torch.cat([view.valid_BHW for view in views]).index_select(0, on_device),
            origin_rc=np.concatenate([view.origin_rc for view in views])[order],
            frame_hw=np.concatenate([view.frame_hw for view in views])[order],
            valid_boxes=np.concatenate([view.valid_boxes for view in views])[order],
        )


class Views:
    """Makes views.

    Args:
        config: What is done.
        crop_hw: Size of the views.
        seed: Seed of all draws.
        device: Where views are made.
        noise_MSS: Noise windows, float32 in [0, 1]; needed for noise mixing.
        donors: Targets to paste; needed for pasting.
    """

    def __init__(
        self,
        config: ViewConfig,
        crop_hw: tuple[int, int],
        seed: int,
        device: torch.device | str,
        noise_MSS: Tensor | None = None,
        donors: Donors | None = None,
    ) -> None:
        self.config, self.hw, self._seed, self._device = config, crop_hw, seed, device
        self._noise_MSS, self._donors = noise_MSS, donors

    def cut(self, pool: FramePool, indices: Integers, fetched: Fetched, positions: Integers) -> View:
        """Cut views out of frames of one pool: the lossless part.

        Args:
            pool: The pool.
            indices: int64 (B,), frames of it.
            fetched: What its pixels returned for them.
            positions: int64 (B,), positions in the training order.
        """
        draws, config = draw_uniforms(self._seed, positions), self.config
        plan = plan_cuts(
            pool,
            indices,
            draws,
            self.hw,
            centre_probability=config.centre_probability,
            margin_px=config.margin_px,
            flip=config.flip,
            rot90=config.rot90,
        )
        images_NHW, masks_NHW = (part.to(self._device, non_blocking=True) for part in (fetched.images_NHW, fetched.masks_NHW))
        first = self._tensor(plan.first + fetched.rows[:, None] * (pool.hw[0] * pool.hw[1]))
        index_BHW = first[:, :, None] + self._tensor(plan.second)[:, None, :]
        turned = draws[:, Draw.PATCH] < config.patch_turn.probability
        if turned.any():
            quarters = np.where(turned, (draws[:, Draw.PATCH_TURN] * 4).astype(np.int64), 0)
            moves = plan_patch_turns(plan, config.patch_turn.side, quarters)
            index_BHW = move_pixels(index_BHW, *(self._tensor(move) for move in moves))
        return View(
            gather_levels(images_NHW, index_BHW).div_(pool.max_level),
            gather_levels(masks_NHW, index_BHW),
            self._tensor(plan.first_valid)[:, :, None] & self._tensor(plan.second_valid)[:, None, :],
            plan.origin_rc,
            plan.frame_hw,
            valid_extent(plan),
        )

    def finish(self, view: View, positions: Integers) -> View:
        """Return the views with all that is mixed into them and done to their levels, clamped to [0, 1].

        Args:
            view: What :meth:`cut` returned.
            positions: int64 (B,), positions in the training order.
        """
        if self.config.is_lossless:
            return view
        draws = draw_uniforms(self._seed, positions)
        images, masks, valid = view.images_BHW, view.masks_BHW, view.valid_BHW
        if self.config.paste_probability:
            images, masks = self._paste(images, masks, view.valid_boxes, draws)
        if self.config.warp.probability:
            images, masks, valid = self._warp(images, masks, valid, draws)
        if self.config.noise_mix.probability:
            images = self._mix_noise(images, view, draws)
        images = change_levels(images, self.config.radiometry, self._seed, Stream.VIEW, positions)
        return View(images, masks, valid, view.origin_rc, view.frame_hw, view.valid_boxes)

    def _paste(self, images: Tensor, masks: Tensor, boxes: Integers, draws: Floats) -> tuple[Tensor, Tensor]:
        assert self._donors is not None
        room = boxes[:, 2:] - DONOR_PX
        wanted = (draws[:, Draw.PASTE] < self.config.paste_probability) & (room >= 0).all(axis=1)
        places = draws[:, [Draw.PASTE_ROW, Draw.PASTE_COL]] * (np.maximum(room, 0) + 1)
        start_rc = np.where(wanted[:, None], boxes[:, :2] + places.astype(np.int64), 0)
        chosen = self._tensor((draws[:, Draw.PASTE_DONOR] * len(self._donors)).astype(np.int64))
        donors = self._donors.excess_KSS.index_select(0, chosen), self._donors.masks_KSS.index_select(0, chosen)
        start = self._tensor(start_rc[:, 0] * self.hw[1] + start_rc[:, 1])
        return paste_targets(images, masks, start, *donors, self._tensor(wanted))

    def _warp(self, images: Tensor, masks: Tensor, valid: Tensor, draws: Floats) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config.warp
        at = np.flatnonzero(draws[:, Draw.AFFINE] < config.probability)
        if not len(at):
            return images, masks, valid
        angle = np.radians(config.degrees) * both_ways(draws[at, Draw.AFFINE_ANGLE])
        scale = config.scale ** both_ways(draws[at, Draw.AFFINE_SCALE])
        rows = self._tensor(at)
        whole = images, masks, valid
        images, masks, valid = (part.index_select(0, rows) for part in whole)
        warped = warp(images, masks, valid, self._floats(angle), self._floats(scale))
        images, masks, valid = (part.index_copy(0, rows, new) for part, new in zip(whole, warped, strict=True))
        return images, masks, valid

    def _mix_noise(self, images: Tensor, view: View, draws: Floats) -> Tensor:
        assert self._noise_MSS is not None
        config = self.config.noise_mix
        at = np.flatnonzero(draws[:, Draw.MIX] < config.probability)
        if not len(at):
            return images
        window = self._tensor((draws[at, Draw.MIX_WINDOW] * len(self._noise_MSS)).astype(np.int64))
        choice = (draws[at, Draw.MIX_ALPHA] * len(config.alphas)).astype(np.int64)
        alpha = self._floats(np.array(config.alphas)[choice])[:, None, None]
        windows = self._noise_MSS.index_select(0, window)
        if config.dc == "zero_mean":
            windows = windows - windows.mean(dim=(1, 2), keepdim=True)
        noise = stretch_windows(windows, self._floats(view.origin_rc[at]), self._floats(view.frame_hw[at]), self.hw)
        rows = self._tensor(at)
        image_weight = 1.0 if config.dc == "zero_mean" else 1.0 - alpha
        return images.index_copy(0, rows, image_weight * images.index_select(0, rows) + alpha * noise)

    def _tensor(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self._device, non_blocking=True)

    def _floats(self, array: npt.NDArray[np.generic]) -> Tensor:
        return self._tensor(array.astype(np.float32))
