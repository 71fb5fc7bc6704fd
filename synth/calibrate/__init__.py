"""Calibration: from real frames, with masks or without, to a scene source whose frames read alike.

``floor``     noise and stripes of a single frame
``blobs``     Gaussians fitted to targets
``evidence``  one pass over a set: the census survey and the above
``measures``  numbers and tables of a set, with a bootstrap over groups of frames
``shapes``    target laws that give masks like the measured ones
``mixture``   the mix of painted backgrounds that looks most alike
``tables``    laws that follow measured tables, round by round
``fit``       the source section: read off, then matched by rendering
``fragment``  the outcome, its uncertainties, and what frames cannot tell

Measurements are those of the census (:mod:`synth.census`) wherever it has them. Test lists stay closed: frames come from
:func:`synth.census.folder_frames`.
"""

from collections.abc import Callable
from typing import Any

from synth.calibrate.evidence import Evidence, gather_evidence
from synth.calibrate.fit import fit_source
from synth.calibrate.fragment import as_fragment
from synth.calibrate.measures import measure_set

__all__ = ["Evidence", "calibrate", "gather_evidence"]


def calibrate(evidence: Evidence, *, seed: int = 0, on_step: Callable[[str], None] = lambda what: None) -> dict[str, Any]:
    """Return the recipe fragment of a set of frames; the same evidence and seed give the same fragment.

    Args:
        evidence: What was read of the frames.
        seed: Seed of every draw.
        on_step: Called with a phrase before each step.
    """
    measured = measure_set(evidence, seed)
    return as_fragment(fit_source(evidence, measured, seed=seed, on_step=on_step), evidence, measured, seed)
