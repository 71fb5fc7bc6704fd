"""The journal's numbers for TensorBoard, when asked for: RUN/tensorboard, a copy that nothing reads back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synth.errors import RecipeError


class Board:
    """Writes lines of the journal as TensorBoard scalars.

    Args:
        folder: Where the event files go.
        first_step: Steps done; what an earlier, interrupted process wrote behind them is hidden.

    Raises:
        RecipeError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RecipeError(
                "train.tensorboard must be false without TensorBoard; install the extra [tracking], or leave it out"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add the numbers of a line, those of a validation under ``validation/``.

        Args:
            line: As the journal takes it, ``step`` among it.
        """
        step = int(line["step"])
        for group, numbers in (("train", line), ("validation", line.get("validation", {}))):
            for name, value in numbers.items():
                if isinstance(value, float):
                    self._writer.add_scalar(f"{group}/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the files."""
        self._writer.close()
