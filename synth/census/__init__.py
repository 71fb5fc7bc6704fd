"""The realism card: what a set of frames looks like in numbers, and how far two sets lie apart.

``definitions``  every statistic of the card: name, unit, definition, goal
``sources``      stores and folders of frames -> labelled frames with what links them to other frames
``spectrum``     radial power spectrum, its slope, row/column anisotropy
``frames``       statistics of one frame
``targets``      statistics of the targets of one frame
``patches``      target-free patches
``survey``       one pass over a set: all of the above
``distance``     Kolmogorov-Smirnov, Wasserstein-1, distance of spectra
``descriptor``   the fixed filter bank a patch is described by
``logistic``     the linear classifier
``folds``        which frames belong together, and folds that never cut a group
``auc``          area under the curve within folds, with an interval over groups
``twosample``    the classifier two-sample test
``comparison``   one set held against another
``card``         the card as data, ready for JSON

Everything here is reported and nothing is a gate: see section 12 of the physics notes for what these numbers cannot say.
"""

from synth.census.card import realism_card
from synth.census.comparison import Comparison, compare_surveys
from synth.census.sources import FrameSet, folder_frames, store_frames
from synth.census.survey import Survey, survey_frames

__all__ = [
    "Comparison",
    "FrameSet",
    "Survey",
    "compare_surveys",
    "folder_frames",
    "realism_card",
    "store_frames",
    "survey_frames",
]
