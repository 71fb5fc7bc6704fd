"""The split lists of an export: consecutive frames of a store, no two lists with frames of one origin.

Copies of a source frame, scenes on one real background and frames of one sequence show the same picture: in two lists, a
network would be tested on what it has learned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.errors import LeakageError, RecipeError
from synth.store.reader import Store

LISTS = ("train", "val", "test")
Codes = npt.NDArray[np.int64]


def lists_of(text: str, store: Store) -> dict[str, range]:
    """Return name -> frames of the lists of ``--lists``, one after the other.

    Args:
        text: Such as ``train=256,val=48,test=96``; empty for no lists.
        store: Whose frames.

    Raises:
        RecipeError: The text is faulty, or names more frames than there are.
        LeakageError: Two lists have frames of one origin.
    """
    parts = re.findall(r"(\w+)=(\d{1,9})(?:,|$)", text)
    names, counts = [name for name, _ in parts], [int(count) for _, count in parts]
    if ",".join(f"{name}={count}" for name, count in parts) != text or 0 in counts or len(set(names)) < len(names):
        raise RecipeError(f"--lists must be like train=256,val=48,test=96, each name once and not empty, got {text!r}")
    if strange := [name for name in names if name not in LISTS]:
        raise RecipeError(f"--lists must name {', '.join(LISTS)}, got {strange[0]!r}")
    if sum(counts) > len(store):
        raise RecipeError(f"--lists must name at most the {len(store)} frames of the store, got {sum(counts)}")
    stops = list(accumulate(counts))
    lists = {name: range(stop - count, stop) for name, stop, count in zip(names, stops, counts, strict=True)}
    _refuse_shared(store, lists)
    return lists


def _refuse_shared(store: Store, lists: Mapping[str, range]) -> None:
    origins = _origins(store)
    if faults := [fault for pair in combinations(lists, 2) if (fault := _shared(pair, lists, origins))]:
        advice = "leave --lists out, or make a store for each list, from frames of its own"
        if moved := _uncut(list(lists.values()), origins.values()):
            fitting = ",".join(f"{name}={count}" for name, count in zip(lists, moved, strict=True))
            advice = f"move the borders to between them, for example {fitting}, or leave --lists out"
        raise LeakageError(f"--lists: in {store.path} {', '.join(faults)}: what is tested would have been learned; {advice}")


def _origins(store: Store) -> dict[str, Codes]:
    """Return what frames may have in common -> its code for every frame, -1 for none.

    ``sample/source`` counts the scenes themselves in a store that is made from no frames: there it ties nothing together.
    """
    sources, made_from = store.manifest["sources"], store.manifest["recipe"]["source"]
    frames, found = sources["frames"], {"sequence": store.column("sample/sequence_id").astype(np.int64)}
    if store.has_column("sample/plate"):
        files = _numbers(row["image_sha256"] for row in sources.get("plates", ()))
        found["plate"] = _looked_up(files, store.column("sample/plate"))
    if frames:
        codes = store.column("sample/source")
        found["source frame"] = _looked_up(_numbers(row["pixels_sha256"] for row in frames), codes)
        found["source sequence"] = _looked_up(_numbers(_sequences(frames, made_from)), codes)
        if made_from.get("plates") is not None:  # copies of scenes do not say which plate is behind them: it may be any
            found["folder of plates"] = np.zeros(len(store), np.int64)
    return found


def _sequences(frames: Sequence[Mapping[str, Any]], made_from: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sequence of each source frame, empty for none; of rendered ones the manifest does not list it."""
    motion = made_from.get("sequence")
    for code, row in enumerate(frames):
        yield row["sequence"] if motion is None else f"{code // motion['length']}"


def _numbers(names: Iterable[str]) -> Codes:
    """Return a number for each name, equal for equal ones, -1 for an empty one."""
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(name, len(seen)) if name else -1 for name in names], np.int64)


def _looked_up(numbers: Codes, codes: npt.NDArray[Any]) -> Codes:
    """Return the number of each code, -1 for negative ones."""
    return np.append(numbers, -1)[np.where(codes < 0, len(numbers), codes)]


def _shared(pair: tuple[str, str], lists: Mapping[str, range], origins: Mapping[str, Codes]) -> str:
    """Tell what two lists have in common, with counts; empty when it is nothing."""
    counts = []
    for what, codes in origins.items():
        one, other = (codes[lists[name].start : lists[name].stop] for name in pair)
        common = np.intersect1d(one, other)
        counts.append((int((common >= 0).sum()), what))
    told = " and ".join(f"{count} {what}{'s' * (count > 1)}" for count, what in counts if count)
    return f"{' and '.join(pair)} share {told}" if told else ""


def _uncut(lists: Sequence[range], origins: Iterable[Codes]) -> list[int]:
    """Return sizes of lists with borders nearby that cut no origin in two; empty where there are none."""
    num_frames = lists[-1].stop
    is_free = np.ones(num_frames, bool)  # whether a list may begin at this frame
    is_free[0] = False
    for codes in origins:
        _, firsts, members = np.unique(codes[:num_frames], return_index=True, return_inverse=True)
        lasts = np.zeros(len(firsts), np.int64)
        np.maximum.at(lasts, members, np.arange(num_frames))
        for first, last in zip(firsts, lasts, strict=True):
            if codes[first] >= 0:
                is_free[first + 1 : last + 1] = False
    free = np.flatnonzero(is_free)
    if not free.size:
        return []
    borders = [int(free[np.argmin(np.abs(free - part.start))]) for part in lists[1:]]
    sizes = np.diff([0, *borders, num_frames])
    return sizes.tolist() if (sizes > 0).all() else []
