"""Masked losses of the six tasks and their weighting under partial labels, as pure functions (the paper's A.1, models.md 1.2).

A label is `(N, C, H, W)` float with 255 where a pixel does not count; C is 1, but 3 for normals. Predictions are logits, or
raw values for depth and normals. Every loss is computed in float32 whatever the network's precision.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.tasks import IGNORE

BOUNDARY_POSITIVE_WEIGHT = 0.95  # of edge pixels against 0.05 for the others


def task_loss(task: str, prediction: Tensor, label: Tensor) -> Tensor:
    """Loss of one image.

    Args:
        task: a name of `dmtl.tasks.TASKS`.
        prediction: `(C, H, W)` logits or values.
        label: `(1, H, W)`, for normals `(3, H, W)`; 255 = ignore.

    Returns:
        Scalar; 0 where no pixel counts.
    """
    return per_image_loss(task, prediction[None], label[None])[0]


def per_image_loss(task: str, prediction: Tensor, label: Tensor) -> Tensor:
    """Loss of each image: `(N, C, H, W)` against `(N, 1 or 3, H, W)` -> `(N,)`."""
    prediction, label = prediction.float(), label.float()
    if task == "saliency":
        return _balanced_cross_entropy(prediction, label)
    if task == "boundary":
        return _boundary(prediction, label)
    if task == "normals":
        return _masked_l1(F.normalize(prediction, dim=1), label)
    if task == "depth":
        return _masked_l1(prediction, label)
    return _cross_entropy(prediction, label)


def upsampled_loss(task: str, prediction: Tensor, label: Tensor) -> Tensor:
    """`per_image_loss` of a prediction at any resolution, brought bilinearly to the label's: -> `(N,)`."""
    return per_image_loss(task, upsample(prediction, label.shape[-2:]), label)


def upsample(prediction: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Bilinear `(N, C, h, w)` -> `(N, C, H, W)` in float32, corners not aligned."""
    return F.interpolate(prediction.float(), size=tuple(size), mode="bilinear", align_corners=False)


def pair_weights(mask: Tensor) -> Tensor:
    """What each labelled (image, task) pair counts: T / |L_i| / B, and 0 where there is no label.

    Args:
        mask: `(B, T)`, nonzero where image i carries a label of task t.

    Returns:
        `(B, T)` float32; the weights of an image with any label sum to T / B, however many labels it has.
    """
    present = (mask != 0).float()
    return present * mask.shape[1] / present.sum(1, keepdim=True).clamp(min=1) / mask.shape[0]


def _pixel_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Sum over valid pixels / their number, per image: `(N, H, W)` twice -> `(N,)`."""
    total = torch.where(valid, values, 0.0).flatten(1).sum(1)
    return total / valid.flatten(1).sum(1).clamp(min=1)


def _cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    target = label[:, 0].long()
    return _pixel_mean(F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none"), target != IGNORE)


def _balanced_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Two-class cross-entropy in which each class weighs as much as the other has pixels in this image."""
    target = label[:, 0].long()
    valid = target != IGNORE
    positive = _pixel_mean((target == 1).float(), valid)[:, None, None]
    weight = torch.where(target == 1, 1 - positive, positive)
    return _pixel_mean(weight * F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none"), valid)


def _boundary(logits: Tensor, label: Tensor) -> Tensor:
    z, y = logits[:, 0], label[:, 0]
    edge = BOUNDARY_POSITIVE_WEIGHT * y * F.softplus(-z)
    rest = (1 - BOUNDARY_POSITIVE_WEIGHT) * (1 - y) * F.softplus(z)
    return _pixel_mean(edge + rest, y != IGNORE)


def _masked_l1(prediction: Tensor, label: Tensor) -> Tensor:
    """Absolute differences summed over channels; a pixel is out when any of its channels is 255."""
    return _pixel_mean((prediction - label).abs().sum(1), (label != IGNORE).all(1))
