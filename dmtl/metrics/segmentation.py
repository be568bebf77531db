"""Mean intersection over union, pooled over the data set (datasets-and-metrics 2.1 and 2.2)."""

import numpy as np
import torch
from torch import Tensor

from dmtl.metrics.metric import Metric
from dmtl.tasks import IGNORE


def confusion(prediction: Tensor, label: Tensor, classes: int) -> np.ndarray:
    """`(classes, classes)` int64 pixel counts, row = label, column = prediction; pixels labelled 255 are out.

    Args:
        prediction: `(B, classes, H, W)` logits.
        label: `(B, 1, H, W)`.
    """
    target = label[:, 0].long()
    valid = target != IGNORE
    pairs = target[valid] * classes + prediction.argmax(1)[valid]
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).cpu().numpy()


def miou(counts: np.ndarray) -> float:
    """Mean IoU in % of a confusion matrix; a class that neither occurs nor is predicted counts 0, as in the released code."""
    if not counts.sum():
        return float("nan")
    hits = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - hits
    return float(100 * np.mean(hits / np.maximum(union, 1)))


class Segmentation(Metric):
    """mIoU over all classes, background included."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64)

    def update(self, prediction: Tensor, label: Tensor) -> None:
        self.counts = self.counts + confusion(prediction, label, self.classes)

    def compute(self) -> dict[str, float]:
        return {"miou": miou(self.counts)}
