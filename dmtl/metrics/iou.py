"""Mean intersection over union, pooled over the data set (docs/metrics.md, "mIoU")."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmtl.metrics.metric import Metric, Scores, divided

if TYPE_CHECKING:
    from torch import Tensor


def confusion(predicted: "Tensor", label: "Tensor", classes: int) -> np.ndarray:
    """`(classes, classes)` int64 pixel counts, row = label, column = prediction.

    Args:
        predicted: `(H, W)` class map.
        label: `(1, H, W)`; what is no class, such as 255, does not count.
    """
    truth = label[0].int()
    pairs = (truth * classes + predicted.int()).where((truth >= 0) & (truth < classes), classes**2)
    counts = pairs.flatten().bincount(minlength=classes**2 + 1)[:-1]
    return counts.reshape(classes, classes).cpu().numpy()


class MeanIou(Metric):
    """mIoU over all classes, background included; a class that neither occurs nor is predicted counts 0, as in the released code.

    Statistics, int64: of each class the pixels that are its and predicted so, that are its, that are predicted so. The union is
    the sum of the last two less the first.
    """

    measures: ClassVar = {"miou": ("%", False)}

    def __init__(self, classes: int) -> None:
        self.classes = classes

    @property
    def width(self) -> int:
        return 3 * self.classes

    def scores(self, totals: np.ndarray) -> Scores:
        hits, labelled, predicted = np.moveaxis(totals.reshape(*totals.shape[:-1], 3, self.classes), -2, 0)
        mean = 100 * divided(hits, labelled + predicted - hits, empty=0).mean(-1)
        return {"miou": np.where(labelled.sum(-1) > 0, mean, np.nan)}

    def _count(self, decoded: "Tensor", label: "Tensor") -> np.ndarray:
        counts = confusion(decoded, label, self.classes)
        return np.concatenate([np.diag(counts), counts.sum(1), counts.sum(0)])
