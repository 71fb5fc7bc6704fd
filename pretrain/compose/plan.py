"""What is inserted where, drawn on the host: a pure function of seed and position, a few numbers a sample.

Shapes: B samples, S slots of a sample (targets first, then impostors), C candidate places, D draws, K bars of a body.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from pretrain.compose.config import BodyConfig, ImpostorConfig, InsertionConfig, TargetConfig
from synth.rng import Stream, keyed_uniforms

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

CANDIDATES_PER_SLOT = 6
"""Places drawn for each slot (our choice): at 10 px spacing 8 slots found theirs in each of 20,000 views of 64 px."""
STREAK_PX = (3.0, 4.0, 0.5, 0.9)
"""Range of a streak's sigma along and across, px (our choice; four sigmas fit a stamp)."""
BLOB_PX = (5.0, 12.0)
"""Range of a blob's sigma, px (our choice: beyond any target, below the clutter of a crop)."""
WINGS = {"length": (0.4, 1.05), "place": (-0.5, 0.5), "degrees": (60.0, 120.0), "height": (0.6, 1.0)}
"""Ranges of a second bar's length over the first one's, place along it in its half lengths, angle to it, brightness over its
(our choice)."""
TAIL_LENGTH, TAIL_HEIGHT = (0.25, 0.6), 0.8
"""Range of a third bar's length over the second one's, and its brightness over the first one's (our choice)."""
_PLACES = 1000
"""First slot number in the keys of candidate places."""


class Kind(IntEnum):
    """What stands in a slot."""

    TARGET = 0
    PIXEL = 1
    STREAK = 2
    BLOB = 3
    NOISE = 4
    MOVED = 5
    SHUFFLED = 6


BODIES = (Kind.TARGET, Kind.NOISE, Kind.MOVED, Kind.SHUFFLED)
"""Kinds that have the outline of a target, and so are bodies as often."""


class _Draw(IntEnum):
    """Number of each draw in the key of its value; new ones go to the end, so that no other changes."""

    NUM_TARGETS = 0
    NUM_IMPOSTORS = 1
    KIND = 2
    SIGMA = 3
    ASPECT = 4
    ANGLE = 5
    CONTRAST = 6
    DARK = 7
    LEVEL = 8
    FROM_ROW = 9
    FROM_COL = 10
    ROWS_REVERSED = 11
    COLS_REVERSED = 12
    TRANSPOSED = 13
    IS_BODY = 14
    HALF_LENGTH = 15
    HAS_WINGS = 16
    HAS_TAIL = 17
    WINGS_LENGTH = 18
    WINGS_PLACE = 19
    WINGS_ANGLE = 20
    WINGS_HEIGHT = 21
    TAIL_LENGTH = 22


@dataclass(frozen=True, slots=True, eq=False)
class InsertionPlan:
    """What is inserted into some views.

    Attributes:
        is_used: bool (B, S).
        kinds: int64 (B, S), of :class:`Kind`.
        centres_rc: float64 (B, S, 2), px, the centre of pixel 0 at 0; 0 where unused.
        sigmas_px: float64 (B, S, 2), along and across.
        angle: float64 (B, S), radians, of the long axis against the columns' direction.
        contrast: float64 (B, S), peak excess in local standard deviations, negative for dark.
        level: float64 (B, S), share of the peak above which pixels are mask.
        from_rc: float64 (B, S, 2), the place whose background ``MOVED`` takes.
        turns: bool (B, 3), of the second view: rows reversed, columns reversed, then transposed.
        bars: float64 (B, S, K, 5): row and column of each bar's middle against the centre, px, angle as above, half length, px,
            and brightness in [0, 1], 0 for none, as everywhere in slots without a body; K is 0 where there may be none.
    """

    is_used: Booleans
    kinds: Integers
    centres_rc: Floats
    sigmas_px: Floats
    angle: Floats
    contrast: Floats
    level: Floats
    from_rc: Floats
    turns: Booleans
    bars: Floats

    @property
    def is_body(self) -> Booleans:
        """Which slots hold what has the outline of a body, bool (B, S)."""
        is_body: Booleans = np.any(self.bars[..., 4] > 0, axis=2)
        return is_body


def plan_insertions(config: InsertionConfig, seed: int, positions: Integers, hw: tuple[int, int]) -> InsertionPlan:
    """Draw what is inserted.

    Args:
        config: What may be.
        seed: Seed of the draws.
        positions: int64 (B,), positions in the training order, which key the draws.
        hw: Size of the views.
    """
    targets, impostors = config.targets, config.impostors
    num_slots = max(targets.num[1] + impostors.num[1], 1)  # one, never used, where nothing is to be inserted
    slots = np.arange(num_slots)
    keys = positions[:, None, None], slots[:, None], np.array(list(_Draw))
    draws = keyed_uniforms(seed, Stream.INSERTION, *keys)
    is_target = slots < targets.num[1]
    kinds = np.where(is_target, Kind.TARGET, _impostor_kinds(impostors, draws[..., _Draw.KIND]))
    centres, is_placed = _spread_places(config, seed, positions, hw, num_slots)
    is_dark = draws[..., _Draw.DARK] < np.where(is_target, targets.dark_probability, _dark_impostors(targets, kinds))
    contrast = _log_uniform(targets.contrast, draws[..., _Draw.CONTRAST])
    angle, last = np.pi * draws[..., _Draw.ANGLE], np.array(hw, np.float64) - 1
    sigmas, bars = _sigmas(targets, kinds, draws), np.zeros((*kinds.shape, 0, 5))
    if targets.bodies is not None:
        is_body = np.isin(kinds, BODIES) & (draws[..., _Draw.IS_BODY] < targets.bodies.probability)
        sigmas = np.where(is_body[..., None], _target_sigmas(targets.bodies.sigma_px, (1.0, 1.0), draws), sigmas)
        bars = is_body[..., None, None] * _bars(targets.bodies, angle, draws)
    return InsertionPlan(
        is_used=_is_wanted(targets, impostors, draws) & is_placed,
        kinds=kinds,
        centres_rc=centres,
        sigmas_px=sigmas,
        angle=angle,
        contrast=np.where(is_dark, -contrast, contrast),
        level=_uniform(targets.mask_level, draws[..., _Draw.LEVEL]),
        from_rc=draws[..., [_Draw.FROM_ROW, _Draw.FROM_COL]] * last,
        turns=_turns(draws[:, 0], hw),
        bars=bars,
    )


def _bars(config: BodyConfig, angle: Floats, draws: Floats) -> Floats:
    """Return the bars of bodies in all slots, (B, S, 3, 5)."""
    sin, cos, none, full = np.sin(angle), np.cos(angle), np.zeros_like(angle), np.ones_like(angle)
    half = _uniform(config.half_length_px, draws[..., _Draw.HALF_LENGTH])
    place = half * _uniform(WINGS["place"], draws[..., _Draw.WINGS_PLACE])
    across = angle + np.radians(_uniform(WINGS["degrees"], draws[..., _Draw.WINGS_ANGLE]))
    wings = half * _uniform(WINGS["length"], draws[..., _Draw.WINGS_LENGTH])
    has_wings = draws[..., _Draw.HAS_WINGS] < config.wings
    has_tail = has_wings & (draws[..., _Draw.HAS_TAIL] < config.tail)
    end = -np.copysign(half, place)
    tail = wings * _uniform(TAIL_LENGTH, draws[..., _Draw.TAIL_LENGTH])
    bars = (
        (none, none, angle, half, full),
        (place * sin, place * cos, across, wings, has_wings * _uniform(WINGS["height"], draws[..., _Draw.WINGS_HEIGHT])),
        (end * sin, end * cos, across, tail, has_tail * TAIL_HEIGHT),
    )
    return np.stack([np.stack(bar, axis=-1) for bar in bars], axis=-2)


def _is_wanted(targets: TargetConfig, impostors: ImpostorConfig, draws: Floats) -> Booleans:
    """Tell which slots hold something: the first of each group, as many as drawn."""
    slots = np.arange(draws.shape[1])
    parts = ((targets.num, _Draw.NUM_TARGETS, 0), (impostors.num, _Draw.NUM_IMPOSTORS, targets.num[1]))
    wanted = np.zeros(draws.shape[:2], bool)
    for (least, most), number, first in parts:
        count = least + (draws[:, :1, number] * (most - least + 1)).astype(np.int64)
        wanted |= (slots >= first) & (slots < first + count)
    return wanted


def _impostor_kinds(config: ImpostorConfig, uniforms: Floats) -> Integers:
    codes = np.array([Kind[name.upper()] for name in config.kinds], np.int64)
    return codes[(uniforms * len(codes)).astype(np.int64)]


def _dark_impostors(targets: TargetConfig, kinds: Integers) -> Floats:
    """Return the share of dark ones of each slot: half of single pixels (dead ones), as many as among targets of the rest."""
    return np.where(kinds == Kind.PIXEL, 0.5, targets.dark_probability)


def _sigmas(targets: TargetConfig, kinds: Integers, draws: Floats) -> Floats:
    """Return sigma along and across, (B, S, 2)."""
    compact = _target_sigmas(targets.sigma_px, targets.aspect, draws)
    uniforms, others = draws[..., _Draw.SIGMA, None], draws[..., _Draw.ASPECT]
    blob = _uniform(BLOB_PX, uniforms)
    streak = np.stack([_uniform(STREAK_PX[:2], uniforms[..., 0]), _uniform(STREAK_PX[2:], others)], axis=-1)
    is_blob, is_streak = (kinds[..., None] == kind for kind in (Kind.BLOB, Kind.STREAK))
    return np.select([is_blob, is_streak], [np.broadcast_to(blob, compact.shape), streak], compact)


def _target_sigmas(sigma_px: tuple[float, float], aspect: tuple[float, float], draws: Floats) -> Floats:
    """Return sigma along and across of targets, (B, S, 2), which keep the drawn size as their geometric mean."""
    sigma, root = _log_uniform(sigma_px, draws[..., _Draw.SIGMA]), np.sqrt(_uniform(aspect, draws[..., _Draw.ASPECT]))
    return np.stack([sigma * root, sigma / root], axis=-1)


def _spread_places(
    config: InsertionConfig, seed: int, positions: Integers, hw: tuple[int, int], num_slots: int
) -> tuple[Floats, Booleans]:
    """Return places at least ``spacing_px`` apart, (B, S, 2), and which slots found one: candidates are taken in turn."""
    numbers = _PLACES + np.arange(CANDIDATES_PER_SLOT * num_slots)
    uniforms = keyed_uniforms(seed, Stream.INSERTION, positions[:, None, None], numbers[:, None], np.arange(2))
    candidates = config.margin_px + uniforms * (np.array(hw) - 1 - 2 * config.margin_px)
    places, count = np.full((len(positions), num_slots, 2), np.nan), np.zeros(len(positions), np.int64)
    for candidate in candidates.transpose(1, 0, 2):
        squares = ((places - candidate[:, None]) ** 2).sum(axis=2)  # NaN, and so not near, where nothing stands yet
        taken = np.flatnonzero(~(squares < config.spacing_px**2).any(axis=1) & (count < num_slots))
        places[taken, count[taken]] = candidate[taken]
        count[taken] += 1
    return np.nan_to_num(places), np.arange(num_slots) < count[:, None]


def _turns(draws: Floats, hw: tuple[int, int]) -> Booleans:
    """Return the element of the square's symmetries for each sample; views that are no square are never transposed."""
    turns = draws[:, [_Draw.ROWS_REVERSED, _Draw.COLS_REVERSED, _Draw.TRANSPOSED]] < 0.5
    turns[:, 2] &= hw[0] == hw[1]
    return turns


def _uniform(bounds: tuple[float, ...], uniforms: Floats) -> Floats:
    return bounds[0] + uniforms * (bounds[1] - bounds[0])


def _log_uniform(bounds: tuple[float, float], uniforms: Floats) -> Floats:
    return np.asarray(bounds[0] * (bounds[1] / bounds[0]) ** uniforms)
