"""Predictions and labels as bounded maps of the same channels, which the mapping network compares (docs/methods.md, "xtc").

Semantic segmentation, depth and normals are XTC's. Ours: other class maps and two-class maps go like it, a boundary
prediction through a sigmoid; depth is divided by its largest magnitude, which is its largest value unless an untrained network
predicts negative depth.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.models.shared.random import uniform
from dmtl.tasks import IGNORE, Kind
from dmtl.tasks.shared.pixels import upsample

TINY = 1e-12


def encode_prediction(task: str, kind: Kind, prediction: Tensor, noise_keys: Tensor, tau: float) -> Tensor:
    """`(N, C, h, w)` logits or values -> float32 of the same shape, differentiable.

    Args:
        noise_keys: `(N,)` int64, what the sample of each image's classes is drawn from.
        tau: temperature of the sample.
    """
    prediction = prediction.float()
    if kind.name == "normals":
        return (F.normalize(prediction, dim=1) + 1) / 2
    if kind.continuous:
        return _over_largest(prediction)
    if kind.name == "boundary":
        return torch.sigmoid(prediction)
    draws = uniform(noise_keys, f"classes of {task}", 0, tuple(prediction.shape[1:]))
    soft = torch.softmax((prediction - torch.log(-torch.log(draws))) / tau, dim=1)
    hard = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1.0)
    return hard + soft - soft.detach()  # Gumbel-softmax, straight through


def encode_label(kind: Kind, label: Tensor, channels: int) -> Tensor:
    """`(N, 1 or C, h, w)` with 255 = ignore -> float32 `(N, channels, h, w)`; an ignored pixel is 0, of normals the middle."""
    label = label.float()
    known = label.masked_fill(label == IGNORE, 0)
    if kind.name == "normals":
        return (known + 1) / 2
    if kind.continuous:
        return _over_largest(known)
    if kind.name == "boundary":
        return known
    classes = torch.arange(channels, device=label.device).view(-1, 1, 1)
    return (label == classes).float()


def resize_prediction(prediction: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """`(N, C, h, w)` -> `(N, C, *size)`, bilinear."""
    return prediction if prediction.shape[-2:] == tuple(size) else upsample(prediction, size)


def resize_label(kind: Kind, label: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """`(N, C, H, W)` -> `(N, C, *size)`: the pixel in the middle of each cell; of a boundary, whether the cell holds any."""
    if label.shape[-2:] == tuple(size):
        return label
    if kind.name == "boundary":
        return F.adaptive_max_pool2d(label.masked_fill(label == IGNORE, 0), tuple(size))
    return F.interpolate(label, size=tuple(size), mode="nearest-exact")


def _over_largest(depth: Tensor) -> Tensor:
    return depth / (depth.abs().amax(dim=(1, 2, 3), keepdim=True) + TINY)
