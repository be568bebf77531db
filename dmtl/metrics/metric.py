"""What a metric is: the sufficient statistics of each image, added over images and divided once.

The modules of this package call methods of tensors only, so that scores can be computed from stored statistics without torch.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmtl.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Scores = dict[str, np.ndarray]  # metric name -> values


class Metric(ABC):
    """How one task is scored, image by image.

    An image adds `K` numbers, all integers or all float64. Whatever is added up, images of a test set in any split into parts or
    those of a bootstrap draw, `scores` divides the sums.
    """

    measures: ClassVar[dict[str, tuple[str, bool]]]  # metric name -> its unit, and whether lower is better

    def statistics(self, decoded: "Tensor", label: "Tensor") -> np.ndarray:
        """`(K,)`: what one image adds, from its prediction as `Kind.decode` gives it and its `(C, H, W)` label, 255 = ignore.

        An image of one pixel is counted like any other; one in which every pixel is ignored adds zeros.

        Raises:
            UserError: prediction and label differ in size.
        """
        if decoded.shape[-2:] != label.shape[-2:]:
            sizes = [tuple(x.shape[-2:]) for x in (decoded, label)]
            raise UserError(f"the prediction has size {sizes[0]}, its label {sizes[1]}; bring both to the same")
        return self._count(decoded, label)

    @property
    @abstractmethod
    def width(self) -> int:
        """K."""

    @abstractmethod
    def scores(self, totals: np.ndarray) -> Scores:
        """Metric name -> values `(...)` of sums `(..., K)`, the headline metric of the task first; NaN where no pixel counted."""

    @abstractmethod
    def _count(self, decoded: "Tensor", label: "Tensor") -> np.ndarray: ...


def unit_and_arrow(unit: str, lower_is_better: bool) -> str:
    """Such as `% ↑`."""
    return f"{unit} {'↓' if lower_is_better else '↑'}".strip()


def divided(numerator: np.ndarray, denominator: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """Quotient of float64 arrays, `empty` where the denominator is 0."""
    return np.where(denominator == 0, empty, numerator / np.where(denominator == 0, 1, denominator))
