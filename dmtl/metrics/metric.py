"""What a metric is: counts that add up over batches and processes, divided once at the end."""

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from torch import Tensor


class Metric(ABC):
    """An accumulator of one task's sufficient statistics.

    `counts` is one array of integers or float64 sums; two accumulators of the same kind merge by adding theirs.
    """

    counts: np.ndarray

    @abstractmethod
    def update(self, prediction: Tensor, label: Tensor) -> None:
        """Add a batch: `(B, C, H, W)` logits or values against `(B, 1 or 3, H, W)` labels, 255 = ignore."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Metric name -> value, the headline metric of the task first; NaN where no pixel counted."""

    def merge(self, other: Self) -> None:
        """Add what another accumulator has seen."""
        self.counts = self.counts + other.counts
