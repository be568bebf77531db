"""Errors of depth, pooled over the pixels of the data set (datasets-and-metrics 2.5)."""

from typing import TYPE_CHECKING

import numpy as np

from dmtl.metrics.metric import Metric, Scores, divided
from dmtl.tasks import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 1e-9  # predictions are raised to it, as in XTC


class Depth(Metric):
    """`abs_error` and `rmse` in the label's own unit, and `rel_error`, the mean of |prediction - label| / label.

    Statistics, float64: sums of the absolute error, its square and its ratio to the label; pixels.
    """

    def scores(self, totals: np.ndarray) -> Scores:
        absolute, squared, relative, pixels = np.moveaxis(totals, -1, 0)
        return {
            "abs_error": divided(absolute, pixels),
            "rmse": np.sqrt(divided(squared, pixels)),
            "rel_error": divided(relative, pixels),
        }

    def _decode(self, prediction: "Tensor") -> "Tensor":
        return prediction[0].clamp(min=SMALLEST)

    def _count(self, decoded: "Tensor", label: "Tensor") -> np.ndarray:
        truth = label[0].double()
        valid = truth != IGNORE
        error = (decoded.double() - truth).abs().where(valid, 0)
        sums = [error.sum(), (error * error).sum(), (error / truth).sum(), valid.sum()]
        return np.array([float(total) for total in sums])
