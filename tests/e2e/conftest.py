"""The hand-made corpus and the store that one undisturbed run makes of it: what every other run must equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builders import write_mini_corpus
from tests.support.cli import run, small
from tests.support.stores import copy_of, made_once


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Not to be changed."""
    return made_once(tmp_path_factory, "sources", lambda folder: write_mini_corpus(folder / "corpus")) / "corpus"


@pytest.fixture(scope="session")
def reference(corpus, tmp_path_factory) -> Path:
    """The store of one undisturbed run in one process; not to be changed."""

    def make(folder: Path) -> None:
        ended = run("synthesize", *small(corpus, folder / "reference.zarr"))
        assert (ended.rc, ended.stderr) == (0, ""), ended

    return made_once(tmp_path_factory, "reference", make) / "reference.zarr"


@pytest.fixture
def damaged(reference, tmp_path) -> Path:
    """A copy of it, to damage."""
    return copy_of(reference, tmp_path)
