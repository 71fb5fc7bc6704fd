"""What every accumulator shares: one row a frame, keyed by id, that adds across shards, ranks and partitions.

A score is a pure function of the rows in id order, so the same frames give the same numbers bit for bit however they were
divided and merged. Rows hold integers; a state is JSON.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from synth.errors import RefusalError, SourceError

Row = TypeVar("Row")
STATE_FORMAT = 1


class Tally(ABC, Generic[Row]):
    """Rows of frames, and what they were counted with.

    Args:
        config: Everything that changes a count, as JSON values; tallies of different configs do not merge.
    """

    kind: ClassVar[str]

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self._rows: dict[str, Row] = {}

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._rows)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the frames, sorted: the order of every column and result."""
        return tuple(sorted(self._rows))

    def row(self, frame_id: str) -> Row:
        """Return the row of one frame."""
        return self._rows[frame_id]

    def merge(self, other: Self) -> Self:
        """Take over the frames of another tally; order does not matter.

        Returns:
            This tally.

        Raises:
            RefusalError: It was counted with another config.
            SourceError: A frame is in both.
        """
        if (self.kind, self.config) != (other.kind, other.config):
            raise RefusalError(
                f"merge of {self.kind}: counted with {other.config}, not {self.config}; count again with one config"
            )
        twice = sorted(self._rows.keys() & other._rows.keys())
        if twice:
            raise SourceError(f"merge of {self.kind}: {len(twice)} frames are in both ({twice[0]!r}); count each frame once")
        self._rows |= other._rows
        return self

    def subset(self, ids: Iterable[str]) -> Self:
        """Return a tally of some of the frames.

        Raises:
            KeyError: One of them is not here.
        """
        part = self._empty()
        part._rows = {frame_id: self._rows[frame_id] for frame_id in ids}
        return part

    def state(self) -> dict[str, Any]:
        """Return everything as JSON values, frames in id order."""
        frames = {frame_id: self._encode(self._rows[frame_id]) for frame_id in self.ids}
        return {"format": STATE_FORMAT, "kind": self.kind, "config": self.config, "frames": frames}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the tally of a state.

        Raises:
            RefusalError: It is the state of something else, or of another format.
        """
        if (state.get("format"), state.get("kind")) != (STATE_FORMAT, cls.kind):
            raise RefusalError(
                f"state: must be of kind {cls.kind!r}, format {STATE_FORMAT}, got {state.get('kind')!r}, {state.get('format')!r}"
            )
        tally = cls._of_config(state["config"])
        tally._rows = {frame_id: cls._decode(row) for frame_id, row in state["frames"].items()}
        return tally

    def _add(self, frame_id: str, row: Row) -> None:
        if frame_id in self._rows:
            raise SourceError(f"frame {frame_id!r}: was counted already; give every frame an id of its own")
        self._rows[frame_id] = row

    def _empty(self) -> Self:
        return self._of_config(self.config)

    @classmethod
    @abstractmethod
    def _of_config(cls, config: Mapping[str, Any]) -> Self:
        """Return an empty tally of a config."""

    @staticmethod
    @abstractmethod
    def _encode(row: Row) -> Any:
        """Return a row as JSON values."""

    @staticmethod
    @abstractmethod
    def _decode(values: Any) -> Row:
        """Return the row of JSON values."""
