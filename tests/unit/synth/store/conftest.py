"""One finished store for all tests of this folder, and copies to damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stores import copy_of, finished_store


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A complete store of 60 samples in 9 shards; not to be changed."""
    return finished_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def finished_wide(tmp_path_factory) -> Path:
    """The same with uint16 images."""
    return finished_store(tmp_path_factory.mktemp("wide"), image_dtype="uint16")


@pytest.fixture
def damaged(finished, tmp_path) -> Path:
    """A copy of the complete store."""
    return copy_of(finished, tmp_path)
