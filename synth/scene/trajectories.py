"""How things move in a sequence: the line of sight, and targets on straight or circular paths.

A path is a function of the frame number, so any frame is rendered without the ones before. A target's *reference frame*
is the one in which it lies where it was placed and in which its amplitude was found; in other frames it may have left the
picture. All positions are (row, col) in px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.scene.config import SequenceConfig
from synth.scene.draws import chance, sign, uniform
from synth.scene.portable import cos_sin, exp

_TWO_PI = 6.283185307179586


@dataclass(frozen=True, slots=True)
class Path:
    """A course over the scene.

    Attributes:
        speed_px: Speed, px/frame.
        heading_turns: Direction of motion at the reference frame in turns from the column axis, 0..1.
        turn_rate: Change of direction, turns/frame; 0 keeps the course.
        reference: Reference frame.
    """

    speed_px: float = 0.0
    heading_turns: float = 0.0
    turn_rate: float = 0.0
    reference: int = 0

    def offset(self, frame: int) -> tuple[float, float]:
        """Return the way from the place at the reference frame, (rows, cols) in px."""
        elapsed = frame - self.reference
        if elapsed == 0 or self.speed_px == 0.0:
            return 0.0, 0.0
        if self.turn_rate == 0.0:
            cosine, sine = cos_sin(self.heading_turns)
            return self.speed_px * elapsed * sine, self.speed_px * elapsed * cosine
        radius = self.speed_px / (_TWO_PI * self.turn_rate)
        first, last = cos_sin(self.heading_turns), cos_sin((self.heading_turns + self.turn_rate * elapsed) % 1.0)
        return radius * (first[0] - last[0]), radius * (last[1] - first[1])


STANDING = Path()
"""The path of everything in a single frame."""


def draw_path(rng: np.random.Generator, config: SequenceConfig, reference: int) -> Path:
    """Draw a course of constant speed, straight or turning.

    Args:
        rng: Target stream of the sequence.
        config: Speeds and turn rates.
        reference: Reference frame of the sequence.
    """
    turn_rate = uniform(rng, *config.turn_rate) * sign(rng) if chance(rng, config.turn_share) else 0.0
    speed, heading = uniform(rng, *config.speed_px), float(rng.random())
    return Path(speed, heading, turn_rate, reference)


def draw_line_of_sight(rng: np.random.Generator, config: SequenceConfig) -> npt.NDArray[np.float64]:
    """Draw how far the picture is displaced in each frame: a random walk plus white jitter, held within ``reach_px``.

    Args:
        rng: Motion stream of the sequence.
        config: Step, jitter and reach.

    Returns:
        float64 (length, 2), rows and columns in px; frame 0 of the walk is 0.
    """
    steps = rng.standard_normal((config.length, 2)) * config.drift_px
    steps[0] = 0.0
    walk = np.cumsum(steps, axis=0)
    jitter = rng.standard_normal((config.length, 2)) * config.jitter_px
    reach = float(config.reach_px)
    return np.asarray(np.clip(_fold(walk, reach) + jitter, -reach, reach), dtype=np.float64)


def lag_weights(frame_rate_hz: float, time_constant_ms: float, frame: int) -> tuple[float, ...]:
    """Return what a bolometer keeps of this frame's signal and of those before it.

    S_k = S_(k-1) + a*(x_k - S_(k-1)) with a = 1 - exp(-1/(f*tau)) (physics section 9) is the geometric sum of
    a*(1-a)^j*x_(k-j). It is exact here: what lies further back than 0.1 % goes to the oldest frame taken, as does
    everything before the sequence began, when the scene stood still.

    Args:
        frame_rate_hz: Frame rate f.
        time_constant_ms: Time constant tau, 0 for photon detectors.
        frame: Number of the frame, 0 <= frame.

    Returns:
        Weights of frames ``frame``, ``frame - 1``, ...; they sum to 1.
    """
    kept = float(_exp_minus(1e3 / (frame_rate_hz * time_constant_ms))) if time_constant_ms > 0.0 else 0.0
    weights, rest = [], 1.0
    for _ in range(frame):
        if rest * kept < _LEAST_WEIGHT:
            break
        weights.append(rest * (1.0 - kept))
        rest *= kept
    return (*weights, rest)


_LEAST_WEIGHT = 1e-3


def _exp_minus(x: float) -> float:
    return float(exp(-x)) if x < 600.0 else 0.0


def _fold(walk: npt.NDArray[np.float64], reach: float) -> npt.NDArray[np.float64]:
    """Reflect a walk at +-reach, so that it stays a walk."""
    if reach == 0.0:
        return np.zeros_like(walk)
    period = 4.0 * reach
    place = (walk + reach) % period
    return np.asarray(np.where(place < 2.0 * reach, place, period - place) - reach, dtype=np.float64)
