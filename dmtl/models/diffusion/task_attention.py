"""Attention over the other tasks at each token, StableMTL's (docs/methods.md, "task_attention")."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dmtl.models.diffusion.blocks import initialise_linear
from dmtl.models.shared.method import Maps
from dmtl.models.shared.random import uniform


class TaskAttention(nn.Module):
    """What each token takes over from the other tasks' tokens at its place; nothing at first, for the last layer begins at 0.

    Args:
        tasks: all of them, in order.
        width: of the tokens.
        heads: of the attention over tasks.
        mask: probability that one of the other tasks is left out in training, for each pair.
        hidden: width of what asks between its first and last layer; that of the tokens where it is None.
    """

    def __init__(self, tasks: tuple[str, ...], width: int, heads: int, mask: float, hidden: int | None = None) -> None:
        super().__init__()
        between = hidden or width
        self.tasks, self.heads, self.mask = tasks, heads, mask
        self.query = nn.ModuleDict({task: _layers(width, between, between, between, width) for task in tasks})
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


def mask_draws(image_index: Maps, noise_keys: Tensor, number: int) -> Tensor:
    """`(P, 2)` uniform numbers for the layer `number`, of each pair its own: neither the other images nor the device matter.

    Args:
        image_index: task -> `(n_t,)` int64, the image of each pair.
        noise_keys: `(B,)` int64, the images'.
    """
    return torch.cat([uniform(noise_keys[index], f"task mask {task}", number, (2,)) for task, index in image_index.items()])


def _layers(*widths: int) -> nn.Sequential:
    """Layer norm, then linear layers with an exact GELU between them."""
    layers: list[nn.Module] = [nn.LayerNorm(widths[0])]
    for number, (before, after) in enumerate(pairwise(widths)):
        layers += [*([nn.GELU()] if number else []), nn.Linear(before, after)]
    return nn.Sequential(*layers)


def _over_tasks(scores: Tensor, allowed: Tensor) -> Tensor:
    """Softmax over the `allowed` tasks, `(P, T)`, of `(P, N, heads, 1, T)`; equal weights where none is, never NaN."""
    return torch.softmax(scores.masked_fill(~allowed[:, None, None, None], torch.finfo(scores.dtype).min), dim=-1)
