"""ResNet-18 and ResNet-50 with an eighth of their channels: the same layers, but few weights to draw, train and write."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch import nn
from torchvision.models import get_model
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from dmtl.models.shared import backbone

BLOCKS: dict[str, tuple[Any, list[int]]] = {"resnet18": (BasicBlock, [2, 2, 2, 2]), "resnet50": (Bottleneck, [3, 4, 6, 3])}


class NarrowResNet(ResNet):
    """Built by torchvision's own code."""

    def _make_layer(self, block: Any, planes: int, *arguments: Any, **options: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // 8, *arguments, **options)


def narrow_or_real(name: str, weights: object = None) -> nn.Module:
    """What `get_model` of torchvision gives, but for these ResNets without weights."""
    return NarrowResNet(*BLOCKS[name]) if name in BLOCKS and weights is None else get_model(name, weights=weights)


@contextmanager
def narrow_backbones() -> Iterator[None]:
    """In this block `resnet18` and `resnet50` are the narrow ones."""
    with patch.object(backbone, "get_model", narrow_or_real):
        yield
