"""What the losses of several kinds share, as pure functions; 255 marks a pixel that does not count."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.tasks.shared.kind import IGNORE


def upsample(prediction: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Bilinear `(N, C, h, w)` -> `(N, C, H, W)` in float32, corners not aligned."""
    return F.interpolate(prediction.float(), size=tuple(size), mode="bilinear", align_corners=False)


def pixel_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Sum over valid pixels / their number, of each image: `(N, H, W)` twice -> `(N,)`; 0 where none is valid."""
    total = torch.where(valid, values, 0.0).flatten(1).sum(1)
    return total / valid.flatten(1).sum(1).clamp(min=1)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """`(N, C, H, W)` logits against `(N, H, W)` classes -> `(N, H, W)`, 0 where the class is 255."""
    return F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")


def masked_l1(prediction: Tensor, label: Tensor) -> Tensor:
    """Absolute differences summed over channels, `(N,)`; a pixel is out when any of its channels is 255."""
    return pixel_mean((prediction - label).abs().sum(1), (label != IGNORE).all(1))
