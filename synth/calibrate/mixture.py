"""Which mix of the painted backgrounds looks most like a set of real ones.

Every background class is rendered before the calibrated sensor, target-free patches of it and of the real frames are
described by the census' filter bank, and the weights are those whose mixture has the least maximum mean discrepancy to the
real frames (kernel mean matching: Gretton et al., JMLR 13, 2012; Iyer et al., ICML 2014, for class shares). The names of the
classes are therefore those of the painters that fit, not a recognition of what a frame shows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.spatial.distance import cdist

from synth.census.descriptor import describe
from synth.census.survey import Survey

FloatArray = npt.NDArray[np.float64]

_SUM_WEIGHT = 1e3  # of the row that makes the weights sum to 1, against kernel means of at most 1
_JITTER = 1e-9
PRIOR_WEIGHT = 0.2
"""Pull towards the default mix, in kernel means per unit of weight: one class against another gains some 0.05 (our choice)."""


def frame_features(survey: Survey) -> FloatArray:
    """Return the mean descriptor of each frame that has target-free patches, float64 (n, D)."""
    features, frames = describe(survey.patches), survey.patch_frame
    return np.array([features[frames == frame].mean(axis=0) for frame in np.unique(frames)]).reshape(-1, features.shape[1])


def match_mixture(real: FloatArray, classes: list[FloatArray], prior: FloatArray) -> FloatArray:
    """Return the weights of classes, float64 (K,), >= 0 and of sum 1.

    Args:
        real: float64 (n, D), features of the real frames.
        classes: Features of the rendered frames of each of K classes, (n_k, D) each.
        prior: float64 (K,), weights that hold where the frames decide nothing; sum 1.
    """
    centre, scale = real.mean(axis=0), np.maximum(real.std(axis=0), 1e-6 + np.concatenate(classes).std(axis=0))
    target, parts = (real - centre) / scale, [(features - centre) / scale for features in classes]
    everything = np.concatenate([target, *parts])
    distance = np.median(cdist(everything, everything, "sqeuclidean"))

    def mean_kernel(a: FloatArray, b: FloatArray) -> float:
        return float(np.exp(-cdist(a, b, "sqeuclidean") / distance).mean())

    gram = np.array([[mean_kernel(a, b) for b in parts] for a in parts]) + _JITTER * np.eye(len(parts))
    towards = np.array([mean_kernel(part, target) for part in parts])
    root = np.linalg.cholesky(gram)
    pull = PRIOR_WEIGHT * np.eye(len(parts))
    rows = np.vstack([root.T, pull, np.full(len(parts), _SUM_WEIGHT)])
    weights = nnls(rows, np.concatenate([np.linalg.solve(root, towards), PRIOR_WEIGHT * prior, [_SUM_WEIGHT]]))[0]
    return np.asarray(weights / weights.sum())
