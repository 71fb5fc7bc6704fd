"""Metrics: canonical scores, curves and intervals, and the legacy modes behind published rows.

``inputs``     arrays and tensors -> probability maps and masks, or a named error
``objects``    8-connected components as integer sums
``matching``   optimal one-to-one matching, exact and independent of how a frame is turned
``sweep``      all thresholds of a frame in one pass
``tally``      the mergeable accumulator; ``native``, ``hse``, ``legacy`` and ``curves`` are its kinds
``pixel``      IoU, nIoU, precision, recall, F1
``target``     Pd, Fa, false objects; ``hiou`` its overlap pairs
``hse``        HSE-r, the integral score, as data
``curves``     Pd-Fa, ROC, precision-recall
``strata``     Pd by area and SCR, SCR50
``operating``  what of curves and strata is kept with each run
``intervals``  Wilson, bootstrap over frames, t over seeds, noise floor
``legacy``     ``basicirstd``, ``dnanet256``, ``irsam``, ``simir``, with the table of differences; ``resize`` their geometry
``scores``     :func:`score` and :class:`Scores`, the reported units
"""

from finetune.metrics.curves import CurveTally
from finetune.metrics.hse import HseConfig, HseTally
from finetune.metrics.legacy import LegacyTally
from finetune.metrics.native import NativeTally
from finetune.metrics.scores import Mode, Scores, score

__all__ = ["CurveTally", "HseConfig", "HseTally", "LegacyTally", "Mode", "NativeTally", "Scores", "score"]
