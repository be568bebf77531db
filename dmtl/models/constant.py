"""Constant: the best prediction that ignores the image, which every model must beat.

Log-frequency of each class in the visible training labels (so the majority class wins), median depth, mean normal.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from dmtl.config import Network
from dmtl.data.batch import Batch
from dmtl.models.shared.method import Maps, Method
from dmtl.tasks import IGNORE, TASKS


class Constant(Method):
    """One value a channel for every pixel of every image; nothing is trained."""

    def __init__(self, outputs: dict[str, int]) -> None:
        super().__init__(outputs)
        for task, channels in outputs.items():
            self.register_buffer(task, torch.zeros(channels))

    def trainings(self) -> Iterator[tuple[str, Method]]:
        return iter(())

    def forward(self, batch: Batch) -> Maps:
        return {}

    def prepare(self, labels: Iterable[dict[str, Tensor]]) -> None:
        valid: dict[str, list[Tensor]] = {task: [] for task in self.tasks}
        for visible in labels:
            for task, label in visible.items():
                valid[task].append(label[:, (label != IGNORE).all(0)])  # (channels, pixels)
        for task, pixels in valid.items():
            if pixels:
                self.get_buffer(task).copy_(_best_constant(task, torch.cat(pixels, dim=1), self.outputs[task]))

    def maps(self, images: Tensor, noise: float, keys: Tensor) -> tuple[Maps, Maps]:
        return {task: self.get_buffer(task)[None, :, None, None].expand(len(images), -1, 1, 1) for task in self.tasks}, {}


def _best_constant(task: str, pixels: Tensor, channels: int) -> Tensor:
    """`(1 or 3, pixels)` of labels -> `(channels,)` as a prediction."""
    if task == "depth":
        return pixels.median(dim=1).values
    if TASKS[task].continuous:
        return pixels.double().mean(dim=1).float()
    if channels == 1:
        return torch.logit(pixels.double().mean(dim=1), eps=1e-6).float()
    counts = torch.bincount(pixels[0].long(), minlength=channels)
    return torch.log(counts.clamp(min=1) / counts.sum().clamp(min=1))


def build(network: Network) -> Constant:
    """A constant for each task."""
    return Constant(network.outputs)
