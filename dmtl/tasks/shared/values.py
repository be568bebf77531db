"""What kinds share whose maps are values on a scale from 0 up."""

from typing import TYPE_CHECKING

import numpy as np

from dmtl.tasks.shared.kind import Kind, Span

if TYPE_CHECKING:
    from torch import Tensor

    from dmtl.pictures.colours import Legend
    from dmtl.tasks.shared.task import Task

SCALE = "viridis"


class Values(Kind):
    """Labels are float32 as the benchmark stores them; the loss is the masked L1."""

    continuous, metric, metric_title, unit, lower_is_better = True, "abs_error", "absErr", "as stored", True

    def loss(self, prediction: "Tensor", label: "Tensor") -> "Tensor":
        from dmtl.tasks.shared.pixels import masked_l1

        return masked_l1(prediction, label)

    def best_constant(self, pixels: "Tensor", outputs: int) -> "Tensor":
        """The median of each channel."""
        return pixels.median(dim=1).values

    def span(self, labels: np.ndarray) -> Span:
        """From 0, or the smallest label, to a quarter beyond the largest, or 0."""
        known = labels[np.isfinite(labels)]
        low, high = (min(0.0, float(known.min())), max(0.0, 1.25 * float(known.max()))) if known.size else (0.0, 0.0)
        return (low, high) if low < high else (0.0, 1.0)

    def picture(self, task: "Task", values: np.ndarray) -> np.ndarray:
        from dmtl.pictures.colours import scaled

        return scaled(values, task.high, SCALE)

    def legend(self, task: "Task") -> "Legend":
        from dmtl.pictures.colours import Legend, stops

        unit = f" {task.unit}" if task.unit else ""
        title = f"{task.title} ({task.unit})" if task.unit else task.title
        return Legend(title, (), stops(SCALE), "0", f"{task.high:g}{unit} or more")
