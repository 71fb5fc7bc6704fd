"""The picture of an evaluation: a few hits, misses and false alarms of one threshold rule, drawn from all of them."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finetune.metrics.matching import match_objects
from finetune.metrics.native import GATE_PX
from finetune.metrics.objects import Objects, find_objects
from pipelines.score_truth import TruthFrame
from pipelines.sheet import Tile, draw_sheet
from synth.rng import Stream, keyed_generator
from synth.sample import BoolMask, Frame

NUM_OF_A_KIND = 8
KINDS = ("hit", "miss", "false alarm")
_PLURALS = ("hits", "misses", "false alarms")


@dataclass(frozen=True, slots=True)
class Event:
    """One hit, miss or false alarm.

    Attributes:
        kind: One of :data:`KINDS`.
        frame_id: Its frame.
        box: Half-open (row0, col0, row1, col1) of the target, or of the false object.
        about: Its area, and the SCR of a target, for the reader.
    """

    kind: str
    frame_id: str
    box: tuple[int, int, int, int]
    about: str


def find_events(frame_id: str, predicted: BoolMask, truth: TruthFrame) -> Iterator[Event]:
    """Yield what a mask did to each target of a frame, and each of its false objects (canonical matching)."""
    targets, objects = find_objects(truth.mask), find_objects(np.ascontiguousarray(predicted))
    matched, partners = (set(indices.tolist()) for indices in match_objects(targets, objects, GATE_PX))
    width = predicted.shape[1]
    for number in range(len(targets)):
        scr = float(truth.scr[number])
        strength = "" if math.isnan(scr) else f", SCR {scr:.1f}"
        about = f"target of {int(targets.areas[number])} px{strength}"
        yield Event(KINDS[number not in matched], frame_id, _box(targets, number, width), about)
    for number in sorted(set(range(len(objects))) - partners):
        about = f"false object of {int(objects.areas[number])} px"
        yield Event(KINDS[2], frame_id, _box(objects, number, width), about)


def draw_events(events: Sequence[Event], title: str, rule: str, read: Callable[[str], tuple[Frame, BoolMask]]) -> bytes | None:
    """Return a PNG of events, of each kind a few drawn at random with a fixed seed; None when there are none.

    Args:
        events: All of them.
        title: First line of the sheet.
        rule: Threshold rule of the masks.
        read: Id -> frame with its truth, and the mask predicted for it.
    """
    by_kind = {kind: [event for event in events if event.kind == kind] for kind in KINDS}
    chosen = [event for found in by_kind.values() for event in _draw(found)]
    if not chosen:
        return None
    counts = ", ".join(f"{len(found)} {name}" for found, name in zip(by_kind.values(), _PLURALS, strict=True))
    subtitle = f"rule {rule}: {counts}; drawn at random; green: target, orange: predicted pixels, pink: the false object"
    buffer = io.BytesIO()
    draw_sheet([_tile(event, *read(event.frame_id)) for event in chosen], title, subtitle).save(buffer, format="png")
    return buffer.getvalue()


def _draw(events: Sequence[Event]) -> list[Event]:
    order = keyed_generator(0, Stream.VIEW, 0).permutation(len(events))[:NUM_OF_A_KIND]
    return [events[index] for index in sorted(order.tolist())]


def _tile(event: Event, frame: Frame, predicted: BoolMask) -> Tile:
    assert frame.mask is not None
    row0, col0, row1, col1 = event.box
    return Tile(
        image=_as_8_bit(frame),
        mask=frame.mask.astype(bool),
        lines=(f"{event.kind.upper()}  {event.frame_id}", event.about),
        centre=((row0 + row1) / 2, (col0 + col1) / 2),
        impostors=(event.box,) if event.kind == KINDS[2] else (),
        predicted=predicted,
    )


def _as_8_bit(frame: Frame) -> npt.NDArray[np.uint8]:
    levels: npt.NDArray[np.uint8] = np.rint(frame.levels * (255.0 / frame.max_level)).astype(np.uint8)
    return levels


def _box(objects: Objects, number: int, width: int) -> tuple[int, int, int, int]:
    rows, cols = np.divmod(objects.flat[objects.labels == number], width)
    return int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1
