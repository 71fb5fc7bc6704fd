"""A hand-made corpus and a finished store of it, and what the runs of a made-up study record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stores import finished_store


@pytest.fixture(scope="session")
def small_store(tmp_path_factory) -> Path:
    """A complete store of 4 originals and 56 copies, 64x64; not to be changed. Its corpus lies beside it."""
    return finished_store(tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(scope="session")
def small_corpus(small_store) -> Path:
    """The corpus of the store: 4 frames with 7 targets in trainval, 1 in test; not to be changed."""
    return small_store.parent / "corpus"


@pytest.fixture(scope="module")
def tests():
    """What every run of :mod:`tests.support.studies` records, by its cell."""
    from pipelines.scale_cells import cells_of
    from tests.support.studies import FRAMES, RECIPE, record

    return {cell: record(cell) for cell in cells_of(RECIPE, FRAMES)}


@pytest.fixture(scope="module")
def groups(tests):
    """The same, place by place."""
    from pipelines.scale_table import groups_of
    from tests.support.studies import FRAMES, RECIPE

    return tuple(groups_of(RECIPE, FRAMES, tests))
