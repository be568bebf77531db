"""A trained network made ready for inference: batch norm folded into the convolution before it, in the precision asked for.

Each batch norm in evaluation mode is an affine map per channel, so it goes into the weights of the convolution that feeds it
(exact to rounding). The network itself is changed, so that no second set of weights takes memory: it cannot be trained any more.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dmtl.models import load_model
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.models.shared.precision import warn_of_emulation
from dmtl.models.shared.resnets import BasicBlock, Bottleneck


def load_for_inference(folder: str | Path, precision: str | None) -> Method:
    """The network of a model folder, made ready for inference in `precision`, or as it was trained where that is None.

    Raises:
        UserError: the folder holds no complete model.
    """
    model = load_model(folder)
    if precision is None:
        return model
    warn_of_emulation(torch.device("cuda" if torch.cuda.is_available() else "cpu"), precision)
    return Inference(model, precision)


def fold(model: Method) -> Method:
    """`model` itself, in evaluation mode and without the batch norms of its ResNet blocks and backbones."""
    model.eval().requires_grad_(False)
    for module in model.modules():
        for convolution, norm in _pairs(module):
            _fold(module, convolution, norm)
    return model


class Inference(Method):
    """A network that is folded and predicts in `precision`.

    Args:
        model: any trained network, which is taken over.
        precision: `32-true` or `bf16-mixed`; the latter holds the weights of convolutions and linear layers in bfloat16.
    """

    def __init__(self, model: Method, precision: str) -> None:
        super().__init__(model.config)
        self.precision = precision
        self.network = fold(model)
        if precision == "bf16-mixed":
            for layer in self.network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.to(torch.bfloat16)  # once, and not in every call
            self.network.to(memory_format=torch.channels_last)  # faster in bfloat16 alone, as in training
        self.eval()

    def forward(self, batch: Any) -> Maps:
        raise TypeError("a network made ready for inference has no training losses")

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            return self.network.maps(images, noise, noise_keys)


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of a convolution and of the batch norm that alone reads it; no subclass, for timm's may hold an activation."""
    if isinstance(module, BasicBlock | Bottleneck):
        numbers = (1, 2, 3) if isinstance(module, Bottleneck) else (1, 2)
        return [(f"conv{n}", f"bn{n}") for n in numbers]
    if _has(module, "conv1", nn.Conv2d) and _has(module, "bn1", nn.BatchNorm2d):
        return [("conv1", "bn1")]  # a backbone's stem
    if isinstance(module, nn.Sequential):  # a shortcut, or any layers in a row
        layers = list(module.named_children())
        return [(a, b) for (a, x), (b, y) in pairwise(layers) if type(x) is nn.Conv2d and type(y) is nn.BatchNorm2d]
    return []


def _has(module: nn.Module, name: str, kind: type[nn.Module]) -> bool:
    return type(getattr(module, name, None)) is kind


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    conv, bn = module.get_submodule(convolution), module.get_submodule(norm)
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(bn, nn.BatchNorm2d)
    setattr(module, convolution, fuse_conv_bn_eval(conv, bn))
    setattr(module, norm, nn.Identity())
