"""The shared trunk: a torchvision ResNet, its four stages fused at 1/8 of the image (the paper's Section 4.1, models.md 1.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from dmtl.errors import UserError


class Backbone(nn.Module):
    """A ResNet without its classifier, of which all four stages are used.

    Args:
        backbone: `resnet18` or `resnet50`.
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.backbone = get_model(backbone, weights=None)
        del self.backbone.fc
        self.channels = tuple(_out_channels(stage) for stage in self._stages())

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The four stage outputs, `(B, channels[k], H/4 / 2^k, W/4 / 2^k)`, sides rounded up."""
        net = self.backbone
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        return [x := stage(x) for stage in self._stages()]

    def _stages(self) -> list[nn.Sequential]:
        return [self.backbone.layer1, self.backbone.layer2, self.backbone.layer3, self.backbone.layer4]


class Trunk(Backbone):
    """Backbone and fusion: `(B, 3, H, W)` -> `(B, width, H/8, W/8)`.

    The four stage outputs are resized bilinearly to half the 1/4 map, concatenated and brought to `width` channels by one 3x3
    convolution.

    Args:
        backbone: `resnet18` or `resnet50`.
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


def _out_channels(stage: nn.Sequential) -> int:
    convolutions = [layer for layer in stage[-1].modules() if isinstance(layer, nn.Conv2d)]
    return convolutions[-1].out_channels


def load_imagenet_weights(network: nn.Module, backbone: str) -> None:
    """Give every backbone in `network` torchvision's first ImageNet weights of `backbone` (downloaded once, hash checked).

    Raises:
        UserError: they are not on this machine and cannot be downloaded.
    """
    weights = get_model_weights(backbone)["IMAGENET1K_V1"]
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        cache = f"{torch.hub.get_dir()}/checkpoints"
        raise UserError(f"{weights.url} cannot be had ({error}): go online, or put the file into {cache}") from None
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    for module in network.modules():
        if isinstance(module, Backbone):
            module.backbone.load_state_dict(state)
