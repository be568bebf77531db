"""The auto-encoder of joint maps: its size, its layers written out, and what is lost in it."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import PASCAL
from torch import nn

from dmtl.models.consistency.autoencoder import AutoEncoder
from dmtl.models.consistency.losses import reconstruction_loss
from dmtl.tasks import kind_of

# The auto-encoder


@pytest.mark.parametrize(("channels", "millions", "encoder"), [(34, 25.000, 14.741), (17, 24.989, 14.731), (8, 24.984, 14.726)])
def test_the_auto_encoder_has_the_released_size(channels: int, millions: float, encoder: float) -> None:
    with torch.device("meta"):
        auto_encoder = AutoEncoder(channels, (64, 128, 256, 512, 512), pools=2)
    for module, expected in ((auto_encoder, millions), (auto_encoder.encoder, encoder)):
        assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("pools", "size", "code"), [(2, (6, 8), (1, 2)), (2, (7, 9), (1, 2)), (2, (36, 48), (9, 12)), (5, (48, 70), (1, 2))]
)
def test_any_size_comes_back(pools: int, size: tuple[int, int], code: tuple[int, int]) -> None:
    auto_encoder = AutoEncoder(5, (2, 3, 4, 5, 6), pools)
    joint, outputs = auto_encoder(torch.rand(2, 5, *size))
    assert (joint.shape, outputs.shape) == ((2, 6, *code), (2, 5, *size))


@pytest.mark.parametrize("pools", [2, 5])
def test_it_is_a_segnet(pools: int) -> None:
    """Against the layers written out: as many in every group, pooling and unpooling with the same pixels in mirrored places."""
    torch.manual_seed(0)
    auto_encoder, x = AutoEncoder(5, (2, 3, 4, 5, 6), pools).eval(), torch.rand(1, 5, 32, 64)
    for p in auto_encoder.parameters():
        p.data += 0.2 * torch.randn_like(p)
    layers = [m for m in auto_encoder.modules() if isinstance(m, nn.Sequential) and isinstance(m[0], nn.Conv2d) and len(m) == 3]
    assert len(layers) == 26
    y, kept, number = x, [], 0
    for group, count in enumerate((2, 2, 3, 3, 3)):
        for layer in layers[number : (number := number + count)]:
            y = F.relu(layer[1](F.conv2d(y, layer[0].weight, layer[0].bias, padding=1)))
        if group < pools:
            y, indices = nn.MaxPool2d(2, return_indices=True)(y)
            kept.append(indices)
    joint = y
    for group, count in enumerate((3, 3, 3, 2, 2)):
        if group >= 5 - pools:
            y = nn.MaxUnpool2d(2)(y, kept.pop())
        for layer in layers[number : (number := number + count)]:
            y = F.relu(layer[1](F.conv2d(y, layer[0].weight, layer[0].bias, padding=1)))
    outputs = auto_encoder.decoder.head[1](auto_encoder.decoder.head[0](y))
    for ours, plain in zip(auto_encoder(x), (joint, outputs), strict=True):
        assert torch.allclose(ours, plain, atol=1e-5)
    convolutions = [m for m in AutoEncoder(5, (2, 3, 4, 5, 6), pools).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 28
    assert not any(m.bias.any() for m in convolutions)


# What is lost in it


def test_what_is_lost_of_a_code() -> None:
    """Each by hand: the target is what went in, a normal counts once, and the mean is over the valid pixels."""
    valid = torch.tensor([True, False]).view(1, 1, 1, 2)
    logits, code = (
        torch.tensor([[2.0, 9.0], [-1.0, 9.0]]).view(1, 2, 1, 2),
        torch.tensor([[0.7, 0.0], [0.3, 0.0]]).view(1, 2, 1, 2),
    )
    expected = sum(
        -t * math.log(s) - (1 - t) * math.log(1 - s) for t, s in ((0.7, 1 / (1 + math.exp(-2))), (0.3, 1 / (1 + math.e)))
    )
    assert reconstruction_loss(kind_of("semseg"), logits, code, valid).item() == pytest.approx(expected, rel=1e-5)
    depth = reconstruction_loss(
        kind_of("depth"), torch.tensor([0.0, 5.0]).view(1, 1, 1, 2), torch.tensor([0.9, 0.0]).view(1, 1, 1, 2), valid
    )
    assert depth.item() == pytest.approx(0.4)
    n = torch.tensor([0.0, 0.6, 0.8])
    along, across = (torch.stack([v, torch.ones(3)], dim=1).view(1, 3, 1, 2) for v in (5 * n, torch.tensor([3.0, 0.0, 0.0])))
    target = torch.stack([(n + 1) / 2, torch.zeros(3)], dim=1).view(1, 3, 1, 2)
    assert reconstruction_loss(kind_of("normals"), along, target, valid).item() == pytest.approx(0, abs=1e-6)
    assert reconstruction_loss(kind_of("normals"), across, target, valid).item() == pytest.approx(1)
    for task, channels in PASCAL.items():
        maps = torch.rand(2, channels, 1, 2)
        assert reconstruction_loss(kind_of(task), maps, maps, torch.zeros(2, 1, 1, 2, dtype=torch.bool)).tolist() == [0, 0]
