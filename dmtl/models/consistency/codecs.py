"""Predictions and labels as bounded maps of the same channels, to be compared across tasks (docs/methods.md, "xtc" and "jtr").

Semantic segmentation, depth and normals are XTC's. Ours: other class maps and two-class maps go like it, a single channel, such
as a boundary's, through a sigmoid; depth is divided by its largest magnitude, which is its largest value unless an untrained
network predicts negative depth. A method may bound values, of depth and of any other regression, in a way of its own.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.models.shared.random import uniform
from dmtl.tasks import IGNORE, Kind
from dmtl.tasks.shared.pixels import upsample

TINY = 1e-12
Bounded = Callable[[Tensor], Tensor]  # `(N, C, h, w)` values -> the same shape within a range


def over_largest(values: Tensor) -> Tensor:
    """`(N, C, h, w)` over the largest magnitude of each image."""
    return values / (values.abs().amax(dim=(1, 2, 3), keepdim=True) + TINY)


def has_values(kind: Kind) -> bool:
    """Whether maps of a kind are values without a range of their own, so that a code must bound them."""
    return kind.continuous and kind.name != "normals"


def encode_prediction(
    task: str,
    kind: Kind,
    prediction: Tensor,
    noise_keys: Tensor,
    tau: float,
    step: int | None = 0,
    bounded: Bounded = over_largest,
) -> Tensor:
    """`(N, C, h, w)` logits or values -> float32 of the same shape, differentiable.

    Args:
        noise_keys: `(N,)` int64, what the sample of each image's classes is drawn from.
        tau: temperature of the sample.
        step: which of an image's samples; None for the classes' probabilities instead of a sample.
        bounded: what brings values into a range.
    """
    prediction = prediction.float()
    if kind.name == "normals":
        return (F.normalize(prediction, dim=1) + 1) / 2
    if kind.continuous:
        return bounded(prediction)
    if prediction.shape[1] == 1:
        return torch.sigmoid(prediction)
    if step is None:
        return torch.softmax(prediction, dim=1)
    draws = uniform(noise_keys, f"classes of {task}", step, tuple(prediction.shape[1:]))
    soft = torch.softmax((prediction - torch.log(-torch.log(draws))) / tau, dim=1)
    hard = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1.0)
    return hard + soft - soft.detach()  # Gumbel-softmax, straight through


def encode_label(kind: Kind, label: Tensor, channels: int, bounded: Bounded = over_largest) -> Tensor:
    """`(N, 1 or C, h, w)` with 255 = ignore -> float32 `(N, channels, h, w)`; an ignored pixel has no class, or the value 0."""
    label = label.float()
    known = label.masked_fill(label == IGNORE, 0)
    if kind.name == "normals":
        return (known + 1) / 2
    if kind.continuous:
        return bounded(known)
    if channels == 1:
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


def resize_valid(label: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """`(N, C, H, W)` with 255 = ignore -> `(N, 1, *size)` bool: whether the pixel in the middle of each cell counts."""
    valid = (label != IGNORE).all(1, keepdim=True)
    return valid if valid.shape[-2:] == tuple(size) else F.interpolate(valid.float(), size=tuple(size), mode="nearest-exact") > 0
