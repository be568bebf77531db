"""Kind `binary`: every pixel shows the thing that is asked for, or not, such as what is salient."""

from typing import TYPE_CHECKING

from dmtl.tasks.shared.kind import IGNORE
from dmtl.tasks.shared.probability import Probability

if TYPE_CHECKING:
    from torch import Tensor

    from dmtl.metrics.max_f import MaxF


class Binary(Probability):
    """Labels are uint8, 1 = shown; a network has two outputs. The metric is the largest F-measure over thresholds."""

    metric, metric_title, outputs = "maxf", "maxF", 2

    def loss(self, prediction: "Tensor", label: "Tensor") -> "Tensor":
        """Cross-entropy in which each class weighs as much as the other has pixels in this image, as released."""
        from dmtl.tasks.shared.pixels import cross_entropy, pixel_mean

        target = label[:, 0].long()
        valid = target != IGNORE
        positive = pixel_mean((target == 1).float(), valid)[:, None, None]
        weight = (1 - positive).where(target == 1, positive)
        return pixel_mean(weight * cross_entropy(prediction, target), valid)

    def best_constant(self, pixels: "Tensor", outputs: int) -> "Tensor":
        """Log-frequency of both."""
        counts = pixels[0].long().bincount(minlength=outputs)
        return (counts.clamp(min=1) / counts.sum().clamp(min=1)).log()

    def decode(self, prediction: "Tensor") -> "Tensor":
        return prediction.softmax(0)[1]

    def scorer(self, outputs: int) -> "MaxF":
        from dmtl.metrics.max_f import MaxF

        return MaxF()
