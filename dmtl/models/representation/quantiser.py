"""The decoder of images that trains the trunk's features and the codes of them (docs/methods.md, "task_prototype")."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.models.representation.codebook import Codebook
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
        self.codebook = Codebook(width, codes)
        widths = [width, *(max(NARROWEST, width // 2**k) for k in (1, 2, 3))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), enlarge]
        self.decoder = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, features: Tensor, images: Tensor, noise_keys: Tensor) -> Tensor:
        """`(B, C, h, w)`, `(B, 3, H, W)` normalised, `(B,)` -> scalar: smooth L1 of the decoded image, and the commitment."""
        quantised = self.codebook(features, noise_keys)
        decoded = upsample(self.decoder(features + quantised.to(features.dtype)), images.shape[-2:])
        committed = F.mse_loss(features.float(), quantised.detach().float())
        return F.smooth_l1_loss(decoded.float(), images.float()) + self.commitment * committed
