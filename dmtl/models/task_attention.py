"""Task attention: Feature Diffusion whose denoiser hears, token by token, what a trained copy of it says of the other tasks.

The multi-stream part of StableMTL, https://github.com/astra-vision/StableMTL, on the denoiser of DiffusionMTL
(docs/methods.md, "task_attention").
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.diffusion.denoiser import Denoiser
from dmtl.models.diffusion.feature import FeatureDiffusion
from dmtl.models.diffusion.task_attention import TaskAttention, mask_draws
from dmtl.models.shared.method import Maps, Stages
from dmtl.models.shared.two_stage import TwoStage


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
            place = number + len(self.blocks) * step
            draws = mask_draws(image_index, self._noise_keys, place) if self.training else None

            def mixed(attended: Tensor, attention: nn.Module = attention, number: int = number, draws: Any = draws) -> Tensor:
                return attended + attention(attended, self._heard[later + number], image_index, draws)

            query, tokens = block(query, tokens, mixed)
        return query


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


def build(network: NetworkConfig) -> TaskAttentionDiffusion:
    """The trained copy and the network that hears it."""
    return TaskAttentionDiffusion(network)
