"""Batch -> composed: insertion, sensor noise, radiometry, batched on the device.

Targets and impostors go through one paste, so that whatever pasting leaves behind is no mark of a target. What was drawn depends
on the position of a sample in the training order alone.

Shapes: B views, H rows, W columns, S slots, P side of a stamp, N stamps of one kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pretrain.batch import Batch
from pretrain.compose.composed import Composed
from pretrain.compose.config import InsertionConfig
from pretrain.compose.noise import NoiseWindows
from pretrain.compose.plan import InsertionPlan, Kind, plan_insertions
from pretrain.compose.stamps import (
    REACH_PX,
    bar_stamps,
    blobs,
    body_stamps,
    cut_squares,
    gaussian_stamps,
    noise_stamps,
    paste,
    pixel_stamps,
    shuffled,
)
from pretrain.compose.turns import turn_views
from pretrain.view_levels import change_levels, normal_keys
from pretrain.view_ops import keyed_normals
from synth.errors import RecipeError
from synth.rng import Stream, keyed_uniforms

SURROUNDINGS_PX = 8
"""Reach of the window that a contrast's standard deviation is taken over: 17 px (our choice, after 16-px windows in trials)."""
HEADROOM = 0.02
"""Share of the range kept free above a bright target and below a dark one: clipping must not show where something was added."""
SMALLEST_PX = 2 * REACH_PX
"""Smallest side of a view: its border must be mirrored over a stamp's reach."""
_NOISE, _STAMPS = 2000, 3000
"""Numbers of slots, in the keys of draws, that stand for sensor noise and for noise within stamps."""


class Composer:
    """Makes composed frames.

    Args:
        config: What is inserted.
        seed: Seed of all draws.
        pairs: Whether the second view and the twins are made too.
        noise: Noise windows of the sources, handed on to objectives.
    """

    def __init__(self, config: InsertionConfig, seed: int, *, pairs: bool, noise: NoiseWindows | None = None) -> None:
        self._config, self._seed, self._pairs, self._noise = config, seed, pairs, noise

    def compose(self, batch: Batch) -> Composed:
        """Insert targets and impostors into views.

        Args:
            batch: Views of at least ``SMALLEST_PX``; the masks of unlabelled ones are what may be a target, those of labelled
                ones are not looked at.

        Raises:
            RecipeError: The views are smaller.
        """
        images, hw = batch.images_B1HW[:, 0], (batch.images_B1HW.shape[2], batch.images_B1HW.shape[3])
        if min(hw) < SMALLEST_PX:
            raise RecipeError(f"views.crop_px must be >= {SMALLEST_PX} for insertion, got views of {hw[0]}x{hw[1]} px")
        plan = plan_insertions(self._config, self._seed, batch.positions, hw)
        drawn = self._insert(images, batch, plan)
        noise, grain_B = self._grain(batch)
        inserted = (drawn.images_BHW + noise).clamp(0.0, 1.0)
        twins = None if drawn.twins_BHW is None else (drawn.twins_BHW + noise).clamp(0.0, 1.0)
        first, second, changed_twins = self._views(inserted, twins, batch)
        doubtful = (batch.masks_B1HW[:, 0] > 0) & ~batch.is_labelled_B[:, None, None]
        ignored = doubtful & ~_grown(drawn.masks_BHW)
        return Composed(
            batch=batch,
            seed=self._seed,
            images_B1HW=inserted[:, None],
            first_B1HW=first,
            second_B1HW=None if second is None else turn_views(second, drawn.turns_B3),
            twins_B1HW=changed_twins,
            masks_B1HW=drawn.masks_BHW[:, None],
            valid_B1HW=batch.valid_B1HW & ~ignored[:, None],
            ignored_B1HW=ignored[:, None],
            centres_BS2=drawn.centres_BS2,
            kinds_BS=drawn.kinds_BS,
            is_used_BS=drawn.is_used_BS,
            level_BS=_floats(plan.level, images.device),
            turns_B3=drawn.turns_B3,
            grain_B=grain_B,
            noise=self._noise,
        )

    def _insert(self, images: Tensor, batch: Batch, plan: InsertionPlan) -> _Inserted:
        device = images.device
        middle = _tensor(np.floor(plan.centres_rc + 0.5).astype(np.int64), device)
        squares = cut_squares(images, middle)
        height, is_used = self._heights(squares, plan, device)
        is_used &= _at(batch.valid_B1HW[:, 0], middle)
        stamps, twins, masks = self._stamps(images, batch.positions, plan, squares)
        height = height * is_used
        is_blob = _tensor(plan.kinds == Kind.BLOB, device)
        centres, sigma = _floats(plan.centres_rc, device), _floats(plan.sigmas_px[..., 0], device)
        ground = images + blobs(centres, sigma, height * is_blob, (images.shape[1], images.shape[2]))
        is_moved = _tensor(plan.kinds == Kind.MOVED, device)
        scale = torch.where(is_moved, is_used.float(), height)[:, :, None, None]
        layers = [(ground, stamps * scale), (torch.zeros_like(images), masks * is_used[:, :, None, None])]
        layers += [(ground, twins * scale)] if self._pairs else []
        grounds, added = (torch.stack(part, 1) for part in zip(*layers, strict=True))
        pasted, marks, *others = paste(grounds, added, middle).unbind(1)
        return _Inserted(
            images_BHW=pasted,
            twins_BHW=others[0] if others else None,
            masks_BHW=marks.clamp(max=1.0),
            centres_BS2=centres,
            kinds_BS=_tensor(plan.kinds, device),
            is_used_BS=is_used,
            turns_B3=_tensor(plan.turns, device),
        )

    def _heights(self, squares_BSPP: Tensor, plan: InsertionPlan, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the peak excess of each slot, and which of the used ones have room for theirs below (above) the end of range."""
        near = squares_BSPP[..., REACH_PX - SURROUNDINGS_PX : REACH_PX + SURROUNDINGS_PX + 1, :]
        near = near[..., REACH_PX - SURROUNDINGS_PX : REACH_PX + SURROUNDINGS_PX + 1]
        unit = near.flatten(2).std(2, correction=0).clamp(min=self._config.targets.floor)
        contrast = _floats(plan.contrast, device)
        core = squares_BSPP[..., REACH_PX - 1 : REACH_PX + 2, REACH_PX - 1 : REACH_PX + 2].flatten(2)
        room = torch.where(contrast > 0, 1.0 - HEADROOM - core.amax(2), core.amin(2) - HEADROOM)
        size = torch.minimum(contrast.abs() * unit, room)
        has_room = size >= self._config.targets.contrast[0] * unit
        return size * contrast.sign(), _tensor(plan.is_used, device) & has_room

    def _stamps(
        self, images: Tensor, positions: npt.NDArray[np.int64], plan: InsertionPlan, squares_BSPP: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what each slot adds per unit of height, the same with shuffled targets, and the masks of targets."""
        device, shape = images.device, squares_BSPP.shape
        keys = normal_keys(self._seed, Stream.INSERTION, positions[:, None], _STAMPS + np.arange(shape[1]))
        keys = keys.to(device, non_blocking=True).flatten()
        here = squares_BSPP.flatten(0, 1)
        there = cut_squares(images, _tensor(plan.from_rc.astype(np.int64), device)).flatten(0, 1)
        profiles, is_body = self._profiles(plan, device), _tensor(plan.is_body.ravel(), device)
        is_mixed = (plan.kinds == Kind.SHUFFLED) | (self._pairs & (plan.kinds == Kind.TARGET))
        at = _tensor(np.flatnonzero(is_mixed), device)
        mixed = profiles.index_copy(0, at, shuffled(profiles[at], keys[at], is_body[at]))
        makers: dict[Kind, Callable[[Tensor], Tensor]] = {
            Kind.TARGET: lambda at: profiles[at],
            Kind.STREAK: lambda at: profiles[at],
            Kind.PIXEL: lambda at: pixel_stamps(len(at), device),
            Kind.NOISE: lambda at: noise_stamps(profiles[at], keys[at]),
            Kind.MOVED: lambda at: _blended(profiles[at], here[at], there[at]),
            Kind.SHUFFLED: lambda at: mixed[at],
        }
        stamps = torch.zeros_like(profiles)
        for kind, make in makers.items():
            at = _tensor(np.flatnonzero(plan.kinds == kind), device)
            stamps[at] = make(at)
        is_target = _tensor((plan.kinds == Kind.TARGET).ravel(), device)[:, None, None]
        masks = (is_target & (stamps >= _floats(plan.level, device).flatten()[:, None, None])).float()
        twins = torch.where(is_target, mixed, stamps)
        return stamps.view(shape), twins.view(shape), masks.view(shape)

    def _profiles(self, plan: InsertionPlan, device: torch.device) -> Tensor:
        """Return the outline of each slot: Gaussians, and bodies in place of some."""
        offset = (plan.centres_rc - np.floor(plan.centres_rc + 0.5)).reshape(-1, 2)
        sigmas, angle = plan.sigmas_px.reshape(-1, 2), plan.angle.ravel()
        profiles = gaussian_stamps(*(_floats(part, device) for part in (offset, sigmas, angle)))
        rows = np.flatnonzero(plan.is_body)
        if not len(rows):
            return profiles
        bars = plan.bars.reshape(len(offset), -1, 5)[rows]
        places, sigma = (offset[rows, None] + bars[..., :2]).reshape(-1, 2), np.repeat(sigmas[rows, 0], bars.shape[1])
        parts = (places, sigma, bars[..., 2].ravel(), bars[..., 3].ravel())
        stamps = bar_stamps(*(_floats(part, device) for part in parts)).view(*bars.shape[:2], *profiles.shape[1:])
        return profiles.index_copy(0, _tensor(rows, device), body_stamps(stamps, _floats(bars[..., 4], device)))

    def _grain(self, batch: Batch) -> tuple[Tensor | float, Tensor]:
        """Return the sensor noise of views, which their twins share, and its standard deviation in each, (B,)."""
        if not self._config.grain:
            return 0.0, batch.images_B1HW.new_zeros(len(batch))
        device, hw = batch.images_B1HW.device, (batch.images_B1HW.shape[2], batch.images_B1HW.shape[3])
        sigma = self._config.grain * keyed_uniforms(self._seed, Stream.INSERTION, batch.positions, np.int64(_NOISE))
        keys = normal_keys(self._seed, Stream.INSERTION, batch.positions, np.int64(_NOISE + 1)).to(device, non_blocking=True)
        grain_B = _floats(sigma, device)
        return grain_B[:, None, None] * keyed_normals(keys, hw), grain_B

    def _views(
        self, images_BHW: Tensor, twins_BHW: Tensor | None, batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor] | tuple[Tensor, None, None]:
        """Return two radiometric views and the first one of the twins, (B, 1, H, W); without twins the first view alone."""
        settings, places = (self._config.radiometry, self._seed, Stream.RADIOMETRY), 2 * batch.positions
        if twins_BHW is None:
            return change_levels(images_BHW, *settings, places)[:, None], None, None
        images = torch.cat([images_BHW, images_BHW, twins_BHW])  # in one go: on a GPU the number of kernels counts
        changed = change_levels(images, *settings, np.concatenate([places, places + 1, places]))
        first, second, twins = changed[:, None].chunk(3)
        return first, second, twins


@dataclass(frozen=True, slots=True, eq=False)
class _Inserted:
    """What insertion makes of the views of a batch; attributes as those of :class:`Composed`."""

    images_BHW: Tensor
    twins_BHW: Tensor | None
    masks_BHW: Tensor
    centres_BS2: Tensor
    kinds_BS: Tensor
    is_used_BS: Tensor
    turns_B3: Tensor


def _blended(profiles_NPP: Tensor, here_NPP: Tensor, there_NPP: Tensor) -> Tensor:
    """Return what turns one background into another under a profile, without a change of the mean level there."""
    weight = profiles_NPP / profiles_NPP.sum((1, 2), keepdim=True)
    change = there_NPP - here_NPP
    return profiles_NPP * (change - (weight * change).sum((1, 2), keepdim=True))


def _grown(masks_BHW: Tensor) -> Tensor:
    """Return masks and the pixels within 2 px of them, bool."""
    return functional.max_pool2d(masks_BHW[:, None], 5, 1, 2)[:, 0] > 0


def _at(values_BHW: Tensor, middle_BS2: Tensor) -> Tensor:
    """Return the values at pixels, (B, S)."""
    return values_BHW.flatten(1).gather(1, middle_BS2[..., 0] * values_BHW.shape[2] + middle_BS2[..., 1])


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)


def _floats(array: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    return _tensor(array.astype(np.float32), device)
