"""How many places were refused to targets, by background: refusing biases a set towards quiet backgrounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.scene.truth import Regime


@dataclass(frozen=True, slots=True)
class Refusals:
    """Places of one kind of background.

    Attributes:
        placed: Targets that stand, members of groups counted singly.
        refused: Places drawn and refused before.
    """

    placed: int
    refused: int

    @property
    def share(self) -> float:
        """Share of the places drawn that were refused, 0..1."""
        return self.refused / max(self.placed + self.refused, 1)


def refusals_by_regime(columns: Mapping[str, npt.NDArray[Any]]) -> dict[Regime, Refusals]:
    """Count placed targets and refused places for every kind of background that comes.

    Frames of a sequence repeat what was refused to their scene; one frame of each is counted.

    Args:
        columns: Columns of rendered scenes by full name, of a store or of one shard (``Store.shard_columns``).
    """
    once = (columns["sample/sequence_id"] < 0) | (columns["sample/frame_index"] == 0)
    counts = {}
    for code in np.unique(columns["sample/regime"]):
        of_regime = once & (columns["sample/regime"] == code)
        placed, refused = (int(columns[f"sample/{name}"][of_regime].sum()) for name in ("num_targets", "num_rejected"))
        counts[Regime(int(code))] = Refusals(placed, refused)
    return counts
