"""Kind `boundary`: lines one pixel wide between the things in an image."""

from typing import TYPE_CHECKING

import numpy as np

from dmtl.tasks.shared.kind import IGNORE
from dmtl.tasks.shared.probability import Probability

if TYPE_CHECKING:
    from torch import Tensor

    from dmtl.metrics.boundary import OdsF

POSITIVE_WEIGHT = 0.95  # of boundary pixels in the loss, against 0.05 of the others


class Boundary(Probability):
    """Labels are uint8, 1 = boundary; a network has one output. The metric, odsF, is taken against a map of regions."""

    metric, metric_title = "odsf", "odsF"

    def resized(self, label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Kept where any of the pixels that one stands for has a boundary."""
        from dmtl.tasks.shared.arrays import any_of_pixels

        return any_of_pixels(label, size)

    def loss(self, prediction: "Tensor", label: "Tensor") -> "Tensor":
        import torch.nn.functional as F

        from dmtl.tasks.shared.pixels import pixel_mean

        z, y = prediction[:, 0], label[:, 0]
        on_boundary = POSITIVE_WEIGHT * y * F.softplus(-z)
        elsewhere = (1 - POSITIVE_WEIGHT) * (1 - y) * F.softplus(z)
        return pixel_mean(on_boundary + elsewhere, y != IGNORE)

    def best_constant(self, pixels: "Tensor", outputs: int) -> "Tensor":
        """The logit of the share of boundary pixels."""
        return pixels.double().mean(dim=1).logit(eps=1e-6).float()

    def decode(self, prediction: "Tensor") -> "Tensor":
        return prediction[0].sigmoid()

    def scorer(self, outputs: int) -> "OdsF":
        from dmtl.metrics.boundary import OdsF

        return OdsF()
