"""Absolute error of depth, pooled over the pixels of the data set (datasets-and-metrics 2.5)."""

import numpy as np
from torch import Tensor

from dmtl.metrics.metric import Metric
from dmtl.tasks import IGNORE

SMALLEST = 1e-9  # predictions are raised to it, as in XTC


class Depth(Metric):
    """Mean |prediction - label| over valid pixels, in the label's own unit; `counts` is (sum, pixels), float64."""

    def __init__(self) -> None:
        self.counts = np.zeros(2)

    def update(self, prediction: Tensor, label: Tensor) -> None:
        valid = label != IGNORE
        error = (prediction.double().clamp(min=SMALLEST) - label.double()).abs()[valid]
        self.counts = self.counts + np.array([float(error.sum()), int(valid.sum())])

    def compute(self) -> dict[str, float]:
        total, pixels = self.counts
        return {"abs_error": float(total / pixels) if pixels else float("nan")}
