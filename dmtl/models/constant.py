"""Constant: the best prediction that ignores the image, which every model must beat (docs/methods.md, "constant")."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from dmtl.config import NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.tasks import IGNORE


class Constant(Method):
    """One value per channel for every pixel of every image, as each kind of task says; nothing is trained."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        for task, channels in network.outputs.items():
            self.register_buffer(task, torch.zeros(channels))

    def trainings(self) -> Iterator[tuple[str, Method]]:
        return iter(())

    def forward(self, batch: Batch) -> Maps:
        return {}

    def prepare(self, labels: Iterable[dict[str, Tensor]]) -> None:
        valid: dict[str, list[Tensor]] = {task: [] for task in self.tasks}
        for shown in labels:
            for task, label in shown.items():
                valid[task].append(label[:, (label != IGNORE).all(0)])  # (channels, pixels)
        for task, pixels in valid.items():
            if pixels:
                self.get_buffer(task).copy_(self.kinds[task].best_constant(torch.cat(pixels, dim=1), self.outputs[task]))

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        return {"final": {task: self.get_buffer(task)[None, :, None, None].expand(len(images), -1, 1, 1) for task in self.tasks}}


def build(network: NetworkConfig) -> Constant:
    """A constant for each task."""
    return Constant(network)
