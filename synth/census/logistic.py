"""Logistic regression with an L2 penalty, on standardised and clipped columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

PENALTY = 0.01
"""Weight of half the squared norm of the weights beside the mean log loss (our choice: 34 correlated columns)."""
CLIP_SIGMAS = 5.0
"""Standardised values are cut here (our choice: one odd patch must not steer a fold)."""


@dataclass(frozen=True, slots=True, eq=False)
class LogisticModel:
    """A fitted classifier.

    Attributes:
        mean: float64 (D,), column means of the training data.
        scale: float64 (D,), their standard deviations, 1 where a column is constant.
        weights: float64 (D,), log odds per standard deviation.
        bias: Log odds at the mean.
    """

    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    bias: float

    def score(self, features: FloatArray) -> FloatArray:
        """Return the log odds of the positive class, (P,), of features (P, D)."""
        return np.asarray(self._standardised(features) @ self.weights + self.bias)

    def _standardised(self, features: FloatArray) -> FloatArray:
        return standardise(features, self.mean, self.scale)


def standardise(features: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """Return (features - mean) / scale, cut at :data:`CLIP_SIGMAS`."""
    return np.asarray(np.clip((features - mean) / scale, -CLIP_SIGMAS, CLIP_SIGMAS))


def fit_logistic(features: FloatArray, labels: BoolArray) -> LogisticModel:
    """Fit the classifier; both classes weigh the same whatever their numbers.

    Args:
        features: float64 (P, D), finite.
        labels: bool (P,), both values occur.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-12 * (1.0 + np.abs(mean)), scale, 1.0)
    x, sign = standardise(features, mean, scale), np.where(labels, 1.0, -1.0)
    weight = np.where(labels, 0.5 / np.count_nonzero(labels), 0.5 / np.count_nonzero(~labels))

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        """Return the penalised loss of weights and offset, and its gradient."""
        margin = sign * (x @ theta[:-1] + theta[-1])
        pull = -sign * weight * expit(-margin)
        value = weight @ np.logaddexp(0.0, -margin) + 0.5 * PENALTY * (theta[:-1] @ theta[:-1])
        return float(value), np.append(x.T @ pull + PENALTY * theta[:-1], pull.sum())

    theta = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return LogisticModel(mean, scale, theta[:-1], float(theta[-1]))
