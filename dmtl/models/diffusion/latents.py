"""Labels as latents, the common space of all tasks, and back (docs/methods.md, "latent_regression")."""

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.models.diffusion.label_images import LabelImages
from dmtl.tasks.shared.pixels import pixel_mean, upsample

CELL = 8  # pixels of a side that one latent stands for: predictions are at 1/8 of the image


class LabelCoder(nn.Module, ABC):
    """Label <-> latent of `channels` channels at 1/8, by way of an image.

    Args:
        images: how a label becomes an image.
        outputs: task -> channels of its prediction.
        channels: of a latent.
    """

    def __init__(self, images: LabelImages, outputs: dict[str, int], channels: int) -> None:
        super().__init__()
        self.images, self.outputs, self.channels = images, outputs, channels

    @abstractmethod
    def encode(self, image: Tensor) -> Tensor:
        """`(n, 3, 8 h, 8 w)` -> `(n, channels, h, w)`, float32."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """`(n, channels, h, w)` -> `(n, 3, 8 h, 8 w)`, float32."""

    def image(self, task: str, label: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """A label `(n, 1 or C, H, W)` -> its image at 8 times `grid`, and which of its pixels and of its cells are valid.

        A cell is valid where all of its pixels are. A label of another size is taken at the nearest pixels.
        """
        size = grid[0] * CELL, grid[1] * CELL
        if label.shape[-2:] != size:
            label = F.interpolate(label.float(), size=size, mode="nearest-exact")
        image, valid = self.images.image(task, label)
        return image, valid, valid.unflatten(2, (-1, CELL)).unflatten(1, (-1, CELL)).all(4).all(2)

    @torch.no_grad()
    def target(self, task: str, label: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """A label `(n, 1 or C, H, W)` -> its latents `(n, channels, *grid)` and which of the cells are valid, `(n, *grid)`."""
        image, _, cells = self.image(task, label, grid)
        return self.encode(image), cells

    def prediction(self, task: str, latents: Tensor) -> Tensor:
        """`(n, channels, h, w)` -> `(n, C, 8 h, 8 w)`, logits or values of the task."""
        return self.images.prediction(task, self.decode(latents), self.outputs[task])

    @torch.no_grad()
    def ceiling(self, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is left of labels `(B, 1 or C, H, W)` on the way through their latents, as predictions `(B, C, H, W)`."""
        left = {}
        for task, label in labels.items():
            latents, _ = self.target(task, label, grid_of(label))
            left[task] = upsample(self.prediction(task, latents), label.shape[-2:])
        return left


class BlockTransform(LabelCoder):
    """The lowest coefficients of the orthonormal 8x8 cosine transform of each channel: nothing is learned."""

    kernels: Tensor

    def __init__(self, images: LabelImages, outputs: dict[str, int], coefficients: int) -> None:
        super().__init__(images, outputs, 3 * coefficients)
        self.register_buffer("kernels", cosine_kernels(coefficients)[:, None], persistent=False)

    def encode(self, image: Tensor) -> Tensor:
        with exact(image):
            latents = F.conv2d(image.float().flatten(0, 1)[:, None], self.kernels, stride=CELL)
        return latents.unflatten(0, (-1, 3)).flatten(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        with exact(latents):
            image = F.conv_transpose2d(latents.float().unflatten(1, (3, -1)).flatten(0, 1), self.kernels, stride=CELL)
        return image[:, 0].unflatten(0, (-1, 3))


def cosine_kernels(count: int) -> Tensor:
    """The `count` lowest patterns of the orthonormal 8x8 DCT-II in zigzag order, `(count, 8, 8)`."""
    k, x = np.mgrid[:CELL, :CELL]
    basis = np.cos(np.pi * (2 * x + 1) * k / (2 * CELL)) * np.sqrt(np.where(k == 0, 1, 2) / CELL)
    order = sorted(np.ndindex(CELL, CELL), key=lambda uv: (sum(uv), uv[sum(uv) % 2 == 0]))
    return torch.tensor(np.array([np.outer(basis[u], basis[v]) for u, v in order[:count]]), dtype=torch.float32)


def latent_loss(predicted: Tensor, target: Tensor, cells: Tensor) -> Tensor:
    """Mean squared error over channels and valid cells, of each image: `(n, c, h, w)` twice, `(n, h, w)` -> `(n,)`.

    0 where no cell is valid.
    """
    return pixel_mean((predicted.float() - target).square().mean(1), cells)


def grid_of(label: Tensor) -> tuple[int, int]:
    """Cells of a label `(n, C, H, W)`, at least one by one."""
    height, width = (max(1, side // CELL) for side in label.shape[-2:])
    return height, width


def exact(tensor: Tensor) -> torch.autocast:
    """A context in which nothing is rounded to bfloat16."""
    return torch.autocast("cuda" if tensor.is_cuda else "cpu", enabled=False)
