"""What freed memory costs when it is taken again."""

from __future__ import annotations

import resource

import numpy as np


def page_faults_of_temporaries() -> int:
    """Return the page faults of making and dropping sixteen arrays of 2 MiB ten times, after a first time."""

    def make_and_drop() -> None:
        _ = [np.ones(2**18) for _ in range(16)]

    make_and_drop()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        make_and_drop()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
