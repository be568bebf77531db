"""Errors of values, pooled over the pixels of the data set (docs/metrics.md, "absErr")."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmtl.metrics.metric import Metric, Scores, divided
from dmtl.tasks import IGNORE

if TYPE_CHECKING:
    from torch import Tensor


class DepthErrors(Metric):
    """`abs_error` and `rmse` in the label's own unit, and `rel_error`, the mean of |prediction - label| / label.

    Statistics, float64: sums of the absolute error, its square and its ratio to the label; pixels.
    """

    measures: ClassVar = {"abs_error": ("as stored", True), "rmse": ("as stored", True), "rel_error": ("", True)}

    @property
    def width(self) -> int:
        return 4

    def scores(self, totals: np.ndarray) -> Scores:
        absolute, squared, relative, pixels = np.moveaxis(totals, -1, 0)
        return {
            "abs_error": divided(absolute, pixels),
            "rmse": np.sqrt(divided(squared, pixels)),
            "rel_error": divided(relative, pixels),
        }

    def _count(self, decoded: "Tensor", label: "Tensor") -> np.ndarray:
        truth = label[0].double()
        valid = truth != IGNORE
        error = (decoded.double() - truth).abs().where(valid, 0)
        sums = [error.sum(), (error * error).sum(), (error / truth).sum(), valid.sum()]
        return np.array([float(total) for total in sums])


class AbsoluteError(Metric):
    """`abs_error` and `rmse` in the label's own unit, over pixels and channels.

    Statistics, float64: sums of the absolute error and of its square; values.

    Args:
        channels: of label and prediction; a pixel is out when any of its label's channels is 255.
    """

    measures: ClassVar = {"abs_error": ("as stored", True), "rmse": ("as stored", True)}

    def __init__(self, channels: int) -> None:
        self.channels = channels

    @property
    def width(self) -> int:
        return 3

    def scores(self, totals: np.ndarray) -> Scores:
        absolute, squared, values = np.moveaxis(totals, -1, 0)
        return {"abs_error": divided(absolute, values), "rmse": np.sqrt(divided(squared, values))}

    def _count(self, decoded: "Tensor", label: "Tensor") -> np.ndarray:
        truth = label.double()
        valid = (truth != IGNORE).all(0)
        error = (decoded.double() - truth).abs().where(valid, 0)
        sums = [error.sum(), (error * error).sum(), valid.sum() * self.channels]
        return np.array([float(total) for total in sums])
