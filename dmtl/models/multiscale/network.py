"""What MTI-Net and InvPT share: predictions before the final ones, all of them supervised (docs/methods.md)."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.config import MultiScale, NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.shared.backbone import Backbone
from dmtl.models.shared.method import Maps, Method, Stages


class MultiScaleNetwork(Method):
    """The backbone's four stages, not fused, and a decoder that predicts more than once."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.options = network.options_as(MultiScale)
        self.trunk = Backbone(network.backbone)

    @abstractmethod
    def decode(self, pyramid: list[Tensor]) -> tuple[Maps, list[Maps]]:
        """The backbone's stages -> final predictions and those before them, the one to be reported first."""

    def forward(self, batch: Batch) -> Maps:
        final, earlier = self.decode(self.trunk.pyramid(batch.images))
        weighted = [(1.0, final), *((self.options.initial_weight, maps) for maps in earlier)]

        def losses(task: str, index: Tensor) -> Tensor:
            return torch.stack([weight * self.pair_losses(task, maps[task][index], batch) for weight, maps in weighted]).sum(0)

        return self.weighted(batch, losses)

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        final, earlier = self.decode(self.trunk.pyramid(images))
        return {"final": final, "initial": earlier[0]}


def resize(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear `(B, C, h, w)` -> `(B, C, *size)`, corners not aligned."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def conv_bn_relu(inputs: int, outputs: int, kernel: int, *, bias: bool, dilation: int = 1) -> nn.Sequential:
    """Convolution that keeps the map's size, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2 * dilation, dilation=dilation, bias=bias)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
