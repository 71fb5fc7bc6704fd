"""What all tests share: the real frames, one thread, small hand-made data sets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def sirst_data() -> Path:
    """Folder of the real frames (``SIRST_DATA``, default ``../shared/data``); skips where there are none."""
    folder = Path(os.environ.get("SIRST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder}; set SIRST_DATA")
    return folder.resolve()
