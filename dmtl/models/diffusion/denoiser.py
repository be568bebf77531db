"""The denoiser on packed (image, task) pairs (the paper's Section 3.2.2 and Fig. 4, docs/methods.md, "The denoiser").

Pairs come grouped by task: the layers that a task owns run once on its group, the shared blocks once on all pairs together, and
the condition of each pair is that of its image. Partial labels, full labels and inference are therefore the same code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.models.diffusion.blocks import CrossBlock, SelfBlock, StepEmbedding, task_head
from dmtl.models.shared.method import Maps


class Denoiser(nn.Module):
    """One call of the denoiser, for every pair at once.

    Args:
        inputs: task -> channels of its noisy map.
        outputs: task -> channels of its estimate, through one more 1x1 convolution; None leaves it at `width` channels.
        width: channels of the embedding and of the tokens.
        blocks, heads: cross-attention blocks and their heads.
        token_stride: side of the square of map positions that one token stands for.
    """

    block_type: type[CrossBlock] | type[SelfBlock] = CrossBlock

    def __init__(
        self, inputs: dict[str, int], outputs: dict[str, int] | None, width: int, blocks: int, heads: int, token_stride: int
    ) -> None:
        super().__init__()
        self.token_stride = token_stride
        self.embed = nn.ModuleDict({task: nn.Conv2d(n, width, 3, padding=1) for task, n in inputs.items()})
        self.step_embedding = StepEmbedding(width)
        self.blocks = nn.ModuleList(self.block_type(width, heads) for _ in range(blocks))
        self.heads = nn.ModuleDict({task: task_head(width) for task in inputs})
        self.predict = nn.ModuleDict({task: nn.Conv2d(width, n, 1) for task, n in (outputs or {}).items()})

    def forward(self, noisy: Maps, step: int, condition: Tensor | None, image_index: Maps) -> Maps:
        """Estimate of the clean maps.

        Args:
            noisy: task -> `(n_t, C_t, h, w)`, x_t of the task's pairs.
            step: the step's index, S-1 (noisiest) to 0.
            condition: `(B, N, width)`, `tokens` of the condition feature; the same at every step.
            image_index: task -> `(n_t,)` int64, the image of each pair.

        Returns:
            task -> `(n_t, C_t, h, w)`.
        """
        groups = [index.shape[0] for index in image_index.values()]
        embedding = torch.cat([self.embed[task](noisy[task]) for task in image_index])
        embedding = embedding + self.step_embedding(step)[:, None, None]
        tokens = self._attend(self.tokens(embedding), condition, image_index, step)
        refined = self._untokens(tokens, embedding.shape[-2:]) + embedding
        return {task: self._head(task, part) for task, part in zip(image_index, refined.split(groups), strict=True)}

    def tokens(self, maps: Tensor) -> Tensor:
        """`(P, width, h, w)` -> `(P, h/stride * w/stride, width)`."""
        small = F.interpolate(maps, size=self._token_grid(maps.shape[-2:]), mode="bilinear", align_corners=False)
        return small.flatten(2).transpose(1, 2)

    def _attend(self, tokens: Tensor, condition: Tensor | None, image_index: Maps, step: int) -> Tensor:
        """The condition of each pair's image queries the pair's `tokens`, `(P, N, width)`."""
        assert condition is not None
        query = condition[torch.cat(list(image_index.values()))]
        for block in self.blocks:
            query, tokens = block(query, tokens)
        return query

    def _head(self, task: str, x: Tensor) -> Tensor:
        x = self.heads[task](x)
        return self.predict[task](x) if self.predict else x

    def _untokens(self, tokens: Tensor, size: torch.Size) -> Tensor:
        """The way back: `(P, N, width)` -> `(P, width, h, w)`."""
        small = tokens.transpose(1, 2).unflatten(2, self._token_grid(size))
        return F.interpolate(small, size=tuple(size), mode="bilinear", align_corners=False)

    def _token_grid(self, size: torch.Size) -> tuple[int, int]:
        height, width = (max(1, side // self.token_stride) for side in size)
        return height, width


class SelfDenoiser(Denoiser):
    """The denoiser without a condition: each pair's tokens query themselves (docs/methods.md, "no_conditioning")."""

    block_type = SelfBlock

    def _attend(self, tokens: Tensor, condition: Tensor | None, image_index: Maps, step: int) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return tokens
