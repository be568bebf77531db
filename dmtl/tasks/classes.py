"""Kind `classes`: every pixel is of one of several classes."""

from typing import TYPE_CHECKING

import numpy as np

from dmtl.tasks.shared.kind import IGNORE, Kind, Span

if TYPE_CHECKING:
    from torch import Tensor

    from dmtl.metrics.iou import MeanIou
    from dmtl.pictures.colours import Legend
    from dmtl.tasks.shared.task import Task


class Classes(Kind):
    """Labels are uint8 class numbers; the loss is the cross-entropy, the metric the mean intersection over union.

    Args:
        ignore_empty: an image that shows nothing but class 0 has no label at all, as with human parts (docs/data.md).
    """

    indexed, metric, metric_title = True, "miou", "mIoU"

    def __init__(self, ignore_empty: bool = False) -> None:
        self.ignore_empty = ignore_empty

    def hide_invalid(self, label: "Tensor") -> "Tensor":
        if self.ignore_empty and ((label == 0) | (label == IGNORE)).all():
            return label.new_full(label.shape, IGNORE)
        return label

    def loss(self, prediction: "Tensor", label: "Tensor") -> "Tensor":
        from dmtl.tasks.shared.pixels import cross_entropy, pixel_mean

        target = label[:, 0].long()
        return pixel_mean(cross_entropy(prediction, target), target != IGNORE)

    def best_constant(self, pixels: "Tensor", outputs: int) -> "Tensor":
        """Log-frequency of each class, so the majority class wins."""
        counts = pixels[0].long().bincount(minlength=outputs)
        return (counts.clamp(min=1) / counts.sum().clamp(min=1)).log()

    def decode(self, prediction: "Tensor") -> "Tensor":
        return prediction.argmax(0)

    def to_map(self, decoded: np.ndarray) -> np.ndarray:
        return decoded.astype(np.uint8)

    def label_map(self, label: np.ndarray) -> np.ndarray:
        return label[0].astype(np.uint8)

    def error(self, prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.where(label == IGNORE, IGNORE, prediction != label).astype(np.uint8)

    def to_bytes(self, values: np.ndarray, span: Span) -> np.ndarray:
        return values

    def from_bytes(self, codes: np.ndarray, span: Span) -> np.ndarray:
        return codes

    def scorer(self, outputs: int) -> "MeanIou":
        from dmtl.metrics.iou import MeanIou

        return MeanIou(outputs)

    def picture(self, task: "Task", values: np.ndarray) -> np.ndarray:
        from dmtl.pictures.colours import hatched, palette

        return hatched(palette(task.colours)[values], values == IGNORE)

    def values_are(self, task: "Task") -> str:
        return "class number"

    def legend(self, task: "Task") -> "Legend":
        from dmtl.pictures.colours import Legend, hex_of, palette

        return Legend(task.title, tuple(zip(task.classes, map(hex_of, palette(task.colours)), strict=False)))

    def error_picture(self, task: "Task", error: np.ndarray) -> np.ndarray:
        from dmtl.pictures.colours import hatched, wrong_colours

        return hatched(wrong_colours()[np.minimum(error, 1)], error == IGNORE)

    def error_legend(self, task: "Task") -> "Legend":
        from dmtl.pictures.colours import Legend, hex_of, wrong_colours

        right, wrong = wrong_colours()
        return Legend("Error: class", (("right", hex_of(right)), ("wrong", hex_of(wrong))))
