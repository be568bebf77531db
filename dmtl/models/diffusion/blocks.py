"""Layers of the denoiser: step embedding, cross-attention block, task head (docs/methods.md, "The denoiser")."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dmtl.models.shared.attention import attend

STEP_FREQUENCIES = 256  # sinusoids of the step embedding, half cosines, half sines


class StepEmbedding(nn.Module):
    """Step index -> `(width,)`: sinusoids of the raw integer, then a two-layer MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = nn.Linear(STEP_FREQUENCIES, width), nn.Linear(width, width)
        self.mlp = nn.Sequential(layers[0], nn.SiLU(), layers[1])
        half = STEP_FREQUENCIES // 2
        frequency = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32) / half)
        self.register_buffer("frequency", frequency, persistent=False)
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.02)  # as released; its biases keep torch's own initial values

    def forward(self, step: int) -> Tensor:
        angle = step * self.get_buffer("frequency")
        return self.mlp(torch.cat([torch.cos(angle), torch.sin(angle)]))


class Attention(nn.Module):
    """Multi-head attention: projections around `attend`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """`(P, N, width)` queries over `(P, M, width)` -> `(P, N, width)`."""
        q = self._split(self.query(query))
        k, v = (self._split(part) for part in self.key_value(memory).chunk(2, dim=-1))
        return self.out(attend(q, k, v).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """`(P, N, width)` -> `(P, heads, N, width / heads)`."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def mlp(width: int) -> nn.Sequential:
    """width -> 4 width -> width with an exact GELU."""
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class CrossBlock(nn.Module):
    """Condition tokens query task tokens; both streams have a residual MLP and both go on to the next block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_task_mlp, self.task_mlp = nn.LayerNorm(width), mlp(width)
        self.norm_query, self.norm_memory = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_mlp, self.mlp = nn.LayerNorm(width), mlp(width)
        initialise_linear(self)

    def forward(self, query: Tensor, memory: Tensor, mix: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """`(P, N, width)` twice -> the same, updated; `mix` changes what the attention says before it is added."""
        memory = memory + self.task_mlp(self.norm_task_mlp(memory))
        attended = self.attention(self.norm_query(query), self.norm_memory(memory))
        query = query + (mix(attended) if mix else attended)
        return query + self.mlp(self.norm_mlp(query)), memory


class SelfBlock(nn.Module):
    """Pre-norm self-attention and MLP, both residual: what is left of `CrossBlock` without a condition."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_mlp, self.mlp = nn.LayerNorm(width), mlp(width)
        initialise_linear(self)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(P, N, width)` -> the same, updated."""
        normed = self.norm_attention(tokens)
        tokens = tokens + self.attention(normed, normed)
        return tokens + self.mlp(self.norm_mlp(tokens))


def task_head(width: int) -> nn.Sequential:
    """1x1 convolution, then three 3x3 convolutions with ReLU (why: docs/methods.md, "diffusion_prediction")."""
    layers: list[nn.Module] = [nn.Conv2d(width, width, 1)]
    for _ in range(3):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def initialise_linear(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in every linear layer of `module`, as released."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
