"""A codebook of the trunk's features and the decoder of images that trains both (docs/methods.md, "task_prototype")."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.tasks.shared.pixels import upsample

NARROWEST = 4  # channels of the decoder of a narrow network: of one or two, ReLU can leave nothing


class ImageAutoEncoder(nn.Module):
    """The nearest code is added to each feature, and the image is decoded from the sum.

    Args:
        width: channels of the features.
        codes: how many there are.
        commitment: weight of what draws features to their codes.
    """

    def __init__(self, width: int, codes: int, commitment: float) -> None:
        super().__init__()
        self.commitment = commitment
        self.codes = nn.Parameter(0.02 * torch.randn(codes, width))
        widths = [width, *(max(NARROWEST, width // 2**k) for k in (1, 2, 3))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), enlarge]
        self.decoder = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """`(B, C, h, w)` and `(B, 3, H, W)` normalised -> scalar: smooth L1 of the decoded image, and the commitment."""
        quantised = self.codes[self.nearest(features)].movedim(-1, 1)
        decoded = upsample(self.decoder(features + quantised.to(features.dtype)), images.shape[-2:])
        committed = F.mse_loss(features.float(), quantised.detach().float())
        return F.smooth_l1_loss(decoded.float(), images.float()) + self.commitment * committed

    @torch.no_grad()
    def nearest(self, features: Tensor) -> Tensor:
        """`(B, C, h, w)` -> `(B, h, w)` int64, the code at the smallest Euclidean distance; an image at a time, for memory."""
        with torch.autocast(features.device.type, enabled=False):
            vectors = features.float().movedim(1, -1).flatten(1, 2)
            numbers = [torch.cdist(image, self.codes.float()).argmin(1) for image in vectors]
        return torch.stack(numbers).view(len(features), *features.shape[-2:])
