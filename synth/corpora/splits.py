"""The one split rule: which ids a split is.

split      ids
=========  ====================================================================================================
``None``    every frame found; lists are ignored
``train``   the published train list without validation ids
``val``     the published val list, else the list that ships with this package for exactly that train list, else none
``trainval``  the whole published train list: naming it bars its validation ids from choosing anything
``test``    the published test list
=========  ====================================================================================================
"""

from __future__ import annotations

from typing import Literal, get_args

from synth.corpora.families import ListFamily
from synth.corpora.lists import committed_val
from synth.errors import SourceError

Split = Literal["train", "val", "trainval", "test"]


def as_split(text: str) -> Split:
    """Return ``text`` as the name of a split.

    Raises:
        SourceError: It is none.
    """
    names: tuple[Split, ...] = get_args(Split)
    for name in names:
        if text == name:
            return name
    raise SourceError(f"split: must be one of {', '.join(names)}, got {text!r}")


def split_ids(family: ListFamily, split: Split) -> frozenset[str]:
    """Return the ids of one split.

    Args:
        family: Lists in use.
        split: Split wanted.

    Raises:
        SourceError: The lists have no such split, or no validation list is known for them.
    """
    if split == "test":
        return _listed(family, "test")
    trainval = trainval_ids(family)
    if split == "trainval":
        return trainval
    val = _validation_ids(family, trainval)
    return val if split == "val" else trainval - val


def trainval_ids(family: ListFamily) -> frozenset[str]:
    """Return the whole train list: the trainval list, else train together with val.

    Raises:
        SourceError: The family has neither a train nor a trainval list.
    """
    if "trainval" in family.ids:
        return frozenset(family.ids["trainval"])
    return _listed(family, "train") | frozenset(family.ids.get("val", ()))


def has_validation(family: ListFamily) -> bool:
    """Tell whether the splits ``train`` and ``val`` are defined."""
    if not family.ids.keys() & {"train", "trainval"}:
        return False
    return "val" in family.ids or _implied_val(family) is not None or committed_val(trainval_ids(family)) is not None


def _validation_ids(family: ListFamily, trainval: frozenset[str]) -> frozenset[str]:
    shipped = committed_val(trainval)
    listed = family.ids.get("val")
    if shipped is not None and listed is not None and set(shipped) != set(listed):
        raise SourceError(
            f"val list of {family.name!r} in {family.val_path.parent}: differs from the validation list fixed for this"
            f" train list; remove {family.val_path.name}"
        )
    found = listed if listed is not None else shipped if shipped is not None else _implied_val(family)
    if found is None:
        raise SourceError(
            f"splits train and val of {family.name!r}: there is no validation list; make one with `python -m"
            f" pipelines.audit DIR --make-val N` and save it as {family.val_path}, or use split trainval"
        )
    return frozenset(found)


def _implied_val(family: ListFamily) -> tuple[str, ...] | None:
    """Return trainval minus train, where both are published and differ."""
    train = frozenset(family.ids.get("train", ()))
    rest = sorted(frozenset(family.ids.get("trainval", ())) - train)
    return tuple(rest) if train and rest else None


def _listed(family: ListFamily, part: str) -> frozenset[str]:
    if part not in family.ids:
        raise SourceError(
            f"split {part} of {family.name!r} in {family.val_path.parent}: there is no such list, only"
            f" {', '.join(family.ids)}; add it or choose another split_list"
        )
    return frozenset(family.ids[part])
