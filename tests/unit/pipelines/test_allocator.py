"""Freed memory stays with a process, also where its environment asks for the contrary."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from pipelines.allocator import keep_freed_memory
from tests.support.page_faults import page_faults_of_temporaries

FEW_FAULTS = 100
COUNT = "from tests.support.page_faults import page_faults_of_temporaries as count; "


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_temporaries_take_the_pages_that_were_left():
    handing_back = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "131072"}
    code = COUNT + "from pipelines.allocator import keep_freed_memory as keep; print(count(), keep(), count())"
    found = subprocess.run([sys.executable, "-c", code], env=handing_back, capture_output=True, text=True, check=True)
    before, kept, after = found.stdout.split()
    assert kept == "True"
    assert int(before) > 10 * FEW_FAULTS
    assert int(after) < FEW_FAULTS
    assert keep_freed_memory() and page_faults_of_temporaries() < FEW_FAULTS


def test_a_system_without_such_settings_goes_on(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert keep_freed_memory() is False
