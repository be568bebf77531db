"""InvPT (Ye and Xu, ECCV 2022): attention among the tokens of all tasks, at three resolutions from coarse to fine.

https://arxiv.org/abs/2203.07997; a row of the paper's Tables 4 and 5 on ResNet-18. The decoder is that of the authors' code. Its
input here is the backbone's last stage at the size of the one before it, which gives the printed multiply-adds; the
printed parameters are 66 M more than it has (docs/methods.md). What their code builds and never uses is kept frozen under `idle`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.models.multiscale.network import MultiScaleNetwork, conv_bn_relu, resize
from dmtl.models.shared.decoders import prediction_heads
from dmtl.models.shared.method import Maps

KEY_STRIDES = (2, 4, 8)  # of the three stages: all have keys at 1/32 of the image
MLP_RATIO = 4


def to_tokens(maps: Tensor, tasks: int) -> Tensor:
    """`(B, T * C, h, w)` -> `(B, T * h * w, C)`, task after task."""
    return maps.unflatten(1, (tasks, -1)).flatten(3).transpose(2, 3).flatten(1, 2)


def to_maps(tokens: Tensor, tasks: int, size: torch.Size) -> Tensor:
    """The way back: `(B, T * h * w, C)` -> `(B, T * C, h, w)`."""
    return tokens.unflatten(1, (tasks, -1)).transpose(2, 3).flatten(1, 2).unflatten(2, tuple(size))


class Attention(nn.Module):
    """Attention over the tokens of all tasks, whose scores take in those of the stage before.

    Queries come from a strided depthwise convolution of each task's map, keys and values from its mean over squares.

    Args:
        width: channels of a token.
        tasks, heads: how many.
        stride: side of the square that a key stands for.
        message: whether there is a stage before.
    """

    def __init__(self, width: int, tasks: int, heads: int, stride: int, message: bool) -> None:
        super().__init__()
        self.tasks, self.heads, self.stride, self.scale = tasks, heads, stride, width**-0.5
        channels = tasks * width
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False), nn.BatchNorm2d(channels)
        )
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.mix = nn.Conv2d(2 * heads, heads, 1) if message else None

    def forward(self, maps: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attend at half the resolution.

        Args:
            maps: `(B, T * width, h, w)`, normed.
            before: `(B, heads * keys, T, h', w')`, scores of the stage before over its query positions; None at the first.

        Returns:
            `(B, T * width, h / 2, w / 2)`, and the scores `(B, heads * keys, T, h / 2, w / 2)`, before the softmax.
        """
        reduced = self.reduce(maps)
        pooled = to_tokens(F.avg_pool2d(maps, self.stride, ceil_mode=True), self.tasks)
        size = reduced.shape[-2:]
        q = self._split(self.query(to_tokens(reduced, self.tasks)))
        k, v = self._split(self.key(pooled)), self._split(self.value(pooled))
        scores = q @ k.transpose(-2, -1) * self.scale
        if before is not None and self.mix is not None:
            scores = self.mix(torch.cat([scores, self._enlarged(before, size)], dim=1))
        attended = self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        kept = scores.transpose(2, 3).flatten(1, 2).unflatten(2, (self.tasks, *size))
        return to_maps(attended, self.tasks, size), kept

    def _split(self, x: Tensor) -> Tensor:
        """`(B, N, width)` -> `(B, heads, N, width / heads)`."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _enlarged(self, before: Tensor, size: torch.Size) -> Tensor:
        """Kept scores -> `(B, heads, T * h * w, keys)` at the query positions `size` of this stage."""
        large = resize(before.flatten(1, 2), size).unflatten(1, before.shape[1:3])
        return large.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)


class Block(nn.Module):
    """Pre-norm attention and MLP, shared by the tasks."""

    def __init__(self, width: int, tasks: int, heads: int, stride: int, message: bool) -> None:
        super().__init__()
        self.tasks = tasks
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, tasks, heads, stride, message)
        self.mlp = nn.Sequential(nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, maps: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(B, T * width, h, w)` -> the same, and the attention's scores for the next stage."""
        size = maps.shape[-2:]
        tokens = to_tokens(maps, self.tasks)
        attended, scores = self.attention(to_maps(self.norm_attention(tokens), self.tasks, size), before)
        tokens = tokens + to_tokens(resize(attended, size), self.tasks)
        return to_maps(tokens + self.mlp(self.norm_mlp(tokens)), self.tasks, size), scores


class Enlargement(nn.Module):
    """From one stage to the next: each task's map enlarged and narrowed, and the backbone's map of that size added to all."""

    def __init__(self, inputs: int, outputs: int, skipped: int, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.tasks = nn.ModuleDict(
            {
                task: nn.Sequential(
                    conv_bn_relu(inputs, outputs, 3, bias=False, dilation=2),
                    conv_bn_relu(outputs, outputs, 3, bias=False, dilation=2),
                )
                for task in tasks
            }
        )
        self.skip = nn.Conv2d(skipped, outputs, 3, padding=1)

    def forward(self, maps: Tensor, stage: Tensor) -> Tensor:
        """`(B, T * inputs, h, w)` and the backbone's `(B, skipped, H, W)` -> `(B, T * outputs, H, W)`."""
        parts = resize(maps, stage.shape[-2:]).chunk(len(self.tasks), dim=1)
        skip = self.skip(stage)
        return torch.cat([module(x) + skip for module, x in zip(self.tasks.values(), parts, strict=True)], dim=1)


class Aggregation(nn.Module):
    """One stage's share of the final features: a layer norm over all tasks' channels, then a 1x1 convolution per task."""

    def __init__(self, width: int, outputs: int, tasks: tuple[str, ...], project: bool) -> None:
        super().__init__()
        self.count = len(tasks)
        self.norm = nn.LayerNorm(width * len(tasks))
        self.project = projections(width, outputs, tasks) if project else None

    def forward(self, maps: Tensor) -> list[Tensor]:
        """`(B, T * width, h, w)` -> `(B, outputs, h, w)` of each task."""
        parts = to_maps(self.norm(to_tokens(maps, 1)), 1, maps.shape[-2:]).chunk(self.count, dim=1)
        if self.project is None:
            return list(parts)
        return [module(x) for module, x in zip(self.project.values(), parts, strict=True)]


def projections(inputs: int, outputs: int, tasks: tuple[str, ...]) -> nn.ModuleDict:
    """A 1x1 convolution per task."""
    return nn.ModuleDict({task: nn.Conv2d(inputs, outputs, 1) for task in tasks})


class InvPT(MultiScaleNetwork):
    """Preliminary predictions, three stages of attention, and a head over the sum of the stages at half the image's size.

    Tokens have width + width / 8 channels (576 at width 512, as released), rounded up to what four times the heads divide, then
    half and a quarter of that. Each stage has the size of a backbone stage: 1/16, 1/8 and 1/4 of the image.
    """

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        heads, tasks, count = self.options.heads, self.tasks, len(network.outputs)
        first, second, third, last = self.trunk.channels
        width = -(-(network.width * 9 // 8) // (4 * heads)) * 4 * heads
        widths = width, width // 2, width // 4
        self.preliminary = nn.ModuleDict(
            {
                task: nn.Sequential(
                    conv_bn_relu(last, network.width, 3, bias=False),
                    conv_bn_relu(network.width, network.width, 3, bias=False),
                )
                for task in tasks
            }
        )
        self.preliminary_heads = prediction_heads(network.outputs, network.width)
        self.mix = nn.ModuleDict({task: nn.Conv2d(network.width + n, width, 1) for task, n in network.outputs.items()})
        self.enlarge = nn.ModuleList(
            Enlargement(*shape, tasks) for shape in ((width, width // 2, second), (width // 2, width // 4, first))
        )
        self.blocks = nn.ModuleList(
            Block(w, count, heads, stride, message=k > 0) for k, (w, stride) in enumerate(zip(widths, KEY_STRIDES, strict=True))
        )
        self.aggregate = nn.ModuleList(Aggregation(w, width, tasks, project=k > 0) for k, w in enumerate(widths))
        self.refine = nn.ModuleDict({task: conv_bn_relu(width, width, 3, bias=True) for task in tasks})
        for name, parameter in self.refine.named_parameters():
            if name.endswith(".0.weight"):  # of the convolutions
                nn.init.trunc_normal_(parameter, std=0.02)
        self.heads = prediction_heads(network.outputs, width)
        self.idle = nn.ModuleDict(
            {
                "skip": nn.Conv2d(third, width, 3, padding=1),
                "project": projections(width, width, tasks),
                "mix_scores": nn.Conv2d(2 * heads, heads, 1),
                "norm": nn.LayerNorm(count * widths[-1]),
            }
        ).requires_grad_(False)

    def decode(self, pyramid: list[Tensor]) -> tuple[Maps, list[Maps]]:
        x = resize(pyramid[3], pyramid[2].shape[-2:])
        features = {task: module(x) for task, module in self.preliminary.items()}
        preliminary = {task: self.preliminary_heads[task](feature) for task, feature in features.items()}
        maps = torch.cat([self.mix[task](torch.cat([features[task], preliminary[task]], dim=1)) for task in self.tasks], dim=1)
        size = torch.Size(2 * side for side in pyramid[0].shape[-2:])
        shares: list[list[Tensor]] = []
        scores: Tensor | None = None
        for k in range(3):
            if k:
                maps = self.enlarge[k - 1](maps, pyramid[2 - k])
            maps, scores = self.blocks[k](maps, scores)
            shares.append(self.aggregate[k](maps))
        final: Maps = {}
        for task, parts in zip(self.tasks, zip(*shares, strict=True), strict=True):
            coarse, middle, fine = (resize(part, size) for part in parts)
            final[task] = self.heads[task](self.refine[task](coarse + middle + fine))
        return final, [preliminary]


def build(network: NetworkConfig) -> InvPT:
    """The network of InvPT."""
    return InvPT(network)
