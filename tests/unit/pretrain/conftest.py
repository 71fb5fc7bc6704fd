"""Pools of hand-made frames."""

from __future__ import annotations

import pytest
import torch

from pretrain.frames import FramePool, pool_of_frames
from tests.support.builders import mini_frames


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def mini_pool() -> FramePool:
    """Five frames of 64x64, 48x150, 40x36, 130x110 and 64x64 px with 8 targets."""
    return pool_of_frames(mini_frames(), name="mini")
