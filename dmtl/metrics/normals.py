"""Mean angular error of surface normals, pooled over the pixels of the data set (datasets-and-metrics 2.4)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.metrics.metric import Metric
from dmtl.tasks import IGNORE


def angles(prediction: Tensor, label: Tensor) -> Tensor:
    """Angles in degrees, [0, 180], between `(N, 3)` vectors of any length: 2 atan2(|p - g|, |p + g|), exact near 0 and 180."""
    p, g = F.normalize(prediction.double(), dim=1), F.normalize(label.double(), dim=1)
    return torch.rad2deg(2 * torch.atan2((p - g).norm(dim=1), (p + g).norm(dim=1)))


class Normals(Metric):
    """Mean angle in degrees over valid pixels; `counts` is (sum, pixels), float64."""

    def __init__(self) -> None:
        self.counts = np.zeros(2)

    def update(self, prediction: Tensor, label: Tensor) -> None:
        valid = (label != IGNORE).all(1)
        error = angles(prediction.permute(0, 2, 3, 1)[valid], label.permute(0, 2, 3, 1)[valid])
        self.counts = self.counts + np.array([float(error.sum()), int(valid.sum())])

    def compute(self) -> dict[str, float]:
        total, pixels = self.counts
        return {"mean_error": float(total / pixels) if pixels else float("nan")}
