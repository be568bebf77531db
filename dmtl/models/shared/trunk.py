"""The shared trunk: a backbone, its four stages fused at 1/8 of the image (docs/methods.md, "The shared trunk")."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.models.shared.backbone import Backbone


class Trunk(Backbone):
    """Backbone and fusion: `(B, 3, H, W)` -> `(B, width, H/8, W/8)`.

    The four stage outputs are resized bilinearly to half the 1/4 map, concatenated and brought to `width` channels by one 3x3
    convolution.

    Args:
        backbone: the name of a `Backbone`, such as `resnet18`.
        width: channels of the result.
    """

    def __init__(self, backbone: str, width: int) -> None:
        super().__init__(backbone)
        self.fuse = nn.Conv2d(sum(self.channels), width, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.fused(self.pyramid(images))

    def fused(self, pyramid: list[Tensor]) -> Tensor:
        """`pyramid` -> `(B, width, H/8, W/8)`."""
        size = tuple(side // 2 for side in pyramid[0].shape[-2:])
        resized = [F.interpolate(f, size=size, mode="bilinear", align_corners=False) for f in pyramid]
        return self.fuse(torch.cat(resized, dim=1))
