"""Task attention: Feature Diffusion whose denoiser hears, token by token, what a trained copy of it says of the other tasks.

The multi-stream part of StableMTL, https://github.com/astra-vision/StableMTL, on the denoiser of DiffusionMTL
(docs/methods.md, "task_attention").
"""

from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.diffusion.blocks import initialise_linear
from dmtl.models.diffusion.denoiser import Denoiser
from dmtl.models.diffusion.feature import FeatureDiffusion
from dmtl.models.shared.method import Maps, Stages
from dmtl.models.shared.random import uniform
from dmtl.models.shared.two_stage import TwoStage


class TaskAttention(nn.Module):
    """What each token takes over from the other tasks' tokens at its place; nothing at first, for the last layer begins at 0.

    Args:
        tasks: all of them, in order.
        width: of the tokens.
        heads: of the attention over tasks.
        mask: probability that one of the other tasks is left out in training, for each pair.
    """

    def __init__(self, tasks: tuple[str, ...], width: int, heads: int, mask: float) -> None:
        super().__init__()
        self.tasks, self.heads, self.mask = tasks, heads, mask
        self.query = nn.ModuleDict({task: _layers(width, width, width, width, width) for task in tasks})
        self.key = nn.ModuleDict({task: _layers(width, width // 2, width) for task in tasks})
        self.value = nn.ModuleDict({task: _layers(width, width // 2, width) for task in tasks})
        self.out = nn.Linear(width, width)
        initialise_linear(self)
        nn.init.zeros_(self.out.weight)

    def forward(self, attended: Tensor, heard: Tensor, image_index: Maps, draws: Tensor | None) -> Tensor:
        """What is added to the tokens of each pair.

        Args:
            attended: `(P, N, width)`, the pairs grouped by task.
            heard: `(T, B, N, width)`, the trained copy's tokens of all tasks; a pair does not hear its own.
            image_index: task -> `(n_t,)` int64, the image of each pair.
            draws: `(P, 2)` uniform numbers, whether a task is left out and which; None leaves none out.

        Returns:
            `(P, N, width)`; 0 where no other task is left.
        """
        parts = attended.split([len(index) for index in image_index.values()])
        query = torch.cat([self.query[task](part) for task, part in zip(image_index, parts, strict=True)])
        images = torch.cat(list(image_index.values()))
        told = list(zip(self.tasks, heard, strict=True))
        key, value = (torch.stack([layers[task](x) for task, x in told], 2) for layers in (self.key, self.value))
        query = query.unflatten(2, (1, self.heads, -1)).transpose(2, 3)  # (P, N, heads, 1, width / heads)
        key, value = (x[images].unflatten(3, (self.heads, -1)).transpose(2, 3) for x in (key, value))  # (P, N, heads, T, ..)
        scores = query @ key.transpose(3, 4) * query.shape[-1] ** -0.5
        own = torch.cat([torch.full_like(index, self.tasks.index(task)) for task, index in image_index.items()])
        allowed = own[:, None] != torch.arange(len(self.tasks), device=own.device)
        if draws is not None:
            allowed &= ~self._left_out(_over_tasks(scores.detach(), allowed), draws)
        mixed = self.out((_over_tasks(scores, allowed) @ value).flatten(2))
        return mixed * allowed.any(1)[:, None, None]

    def _left_out(self, weights: Tensor, draws: Tensor) -> Tensor:
        """`(P, T)` bool: one task of some pairs, drawn by its mean weight over tokens and heads, `(P, N, heads, 1, T)`."""
        shares = weights.float().mean((1, 2, 3)).cumsum(1)
        chosen = (shares < draws[:, 1:] * shares[:, -1:]).sum(1, keepdim=True)
        return (draws[:, :1] < self.mask) & (chosen == torch.arange(shares.shape[1], device=chosen.device))


class TaskDenoiser(Denoiser):
    """The denoiser with task attention on the output of each block's attention; it is told what to hear before each chain."""

    task_attention: nn.ModuleList

    def hear(self, heard: list[Tensor], noise_keys: Tensor) -> None:
        """Take what the trained copy said, `(T, B, N, width)` of each call of a block in order, and the images' keys, `(B,)`."""
        self._heard, self._noise_keys = heard, noise_keys

    def _attend(self, tokens: Tensor, condition: Tensor | None, image_index: Maps, step: int) -> Tensor:
        assert condition is not None
        query = condition[torch.cat(list(image_index.values()))]
        later = len(self._heard) - (step + 1) * len(self.blocks)  # the chain begins with the last step
        for number, (block, attention) in enumerate(zip(self.blocks, self.task_attention, strict=True)):
            draws = self._draws(image_index, number + len(self.blocks) * step) if self.training else None

            def mixed(attended: Tensor, attention: nn.Module = attention, number: int = number, draws: Any = draws) -> Tensor:
                return attended + attention(attended, self._heard[later + number], image_index, draws)

            query, tokens = block(query, tokens, mixed)
        return query

    def _draws(self, image_index: Maps, number: int) -> Tensor:
        """`(P, 2)` uniform numbers, of each pair its own: neither the other images nor the device matter."""
        keys = self._noise_keys
        return torch.cat([uniform(keys[index], f"task mask {task}", number, (2,)) for task, index in image_index.items()])


class TaskAttentionDiffusion(TwoStage, FeatureDiffusion):
    """Feature Diffusion, first alone, then once more from there, with attention to its frozen self's other tasks."""

    denoiser_type = TaskDenoiser
    stages = ("single", "multi")

    first: FeatureDiffusion

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.first = FeatureDiffusion(network)

    def begin(self) -> None:
        _, unexpected = self.load_state_dict(self.first.state_dict(), strict=False)
        assert not unexpected

    def forward(self, batch: Batch) -> Maps:
        self._listen(batch.images, 1.0, batch.noise_keys)
        return super().forward(batch)

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        self._listen(images, noise, noise_keys)
        return super().maps(images, noise, noise_keys)

    def _make_denoiser(self) -> Denoiser:
        denoiser, o = super()._make_denoiser(), self.options.task_attention
        made = (TaskAttention(self.tasks, self.width, o.heads, o.mask) for _ in denoiser.blocks)
        denoiser.task_attention = nn.ModuleList(made)
        return denoiser

    @torch.no_grad()
    def _listen(self, images: Tensor, noise: float, noise_keys: Tensor) -> None:
        """Run the frozen chain for every pair, with the same noise, and hand on what its blocks' attentions say."""
        heard: list[Tensor] = []

        def note(module: nn.Module, given: Any, attended: Tensor) -> None:
            heard.append(attended.unflatten(0, (len(self.tasks), len(images))))

        attentions = [cast(nn.Module, block.attention) for block in self.first.denoiser.blocks]
        hooks = [attention.register_forward_hook(note) for attention in attentions]
        try:
            self.first.maps(images, noise, noise_keys)
        finally:
            for hook in hooks:
                hook.remove()
        assert isinstance(self.denoiser, TaskDenoiser)
        self.denoiser.hear(heard, noise_keys)


def _layers(*widths: int) -> nn.Sequential:
    """Layer norm, then linear layers with an exact GELU between them."""
    layers: list[nn.Module] = [nn.LayerNorm(widths[0])]
    for number, (before, after) in enumerate(pairwise(widths)):
        layers += [*([nn.GELU()] if number else []), nn.Linear(before, after)]
    return nn.Sequential(*layers)


def _over_tasks(scores: Tensor, allowed: Tensor) -> Tensor:
    """Softmax over the `allowed` tasks, `(P, T)`, of `(P, N, heads, 1, T)`; equal weights where none is, never NaN."""
    return torch.softmax(scores.masked_fill(~allowed[:, None, None, None], torch.finfo(scores.dtype).min), dim=-1)


def build(network: NetworkConfig) -> TaskAttentionDiffusion:
    """The trained copy and the network that hears it."""
    return TaskAttentionDiffusion(network)
