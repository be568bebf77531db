"""What every method of the tables is to the training loop, the evaluation and the user."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dmtl.data.batch import Batch
from dmtl.losses import upsample, upsampled_loss

Maps = dict[str, Tensor]  # task -> a map of that task


class Method(nn.Module, ABC):
    """A network for several dense tasks and how it is trained on partial labels.

    A method is one file in `dmtl/models/` that has its name and offers `build(network: dmtl.config.Network) -> Method`.
    `forward` takes a `Batch` and returns task -> scalar training loss, only of tasks that the batch labels. It may add a term
    of its own under a name that is no task; no task weight multiplies that.
    """

    def __init__(self, outputs: dict[str, int]) -> None:
        super().__init__()
        self.outputs = dict(outputs)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, in the benchmark's order."""
        return tuple(self.outputs)

    @abstractmethod
    def forward(self, batch: Batch) -> Maps:
        """Training losses of a batch: task -> scalar, without the task weights."""

    @abstractmethod
    def maps(self, images: Tensor, noise: float, keys: Tensor) -> tuple[Maps, Maps]:
        """Final and initial predictions at the network's own resolution: task -> `(B, C, h, w)`; initial may be empty."""

    def trainings(self) -> Iterator[tuple[str, "Method"]]:
        """The networks to be trained one after the other: (name, network); most methods are a single one."""
        yield "all", self

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What the optimiser is made of: groups of `params`; one with a `rate`, epoch (from 0) -> learning rate, follows that
        instead of the recipe's decay. Called on each network of `trainings`."""
        return [{"params": list(self.parameters())}]

    def supervised(self, predictions: Maps, batch: Batch) -> Maps:
        """Loss of each labelled pair, weighted and summed: task -> scalar, for predictions task -> `(B, C, h, w)`."""
        return {
            task: (batch.weights[task] * upsampled_loss(task, predictions[task][rows], batch.labels[task])).sum()
            for task, rows in batch.rows.items()
        }

    def prepare(self, labels: Iterable[dict[str, Tensor]]) -> None:
        """See the visible training labels of each image once before training: task -> `(C, H, W)`. Most need nothing."""

    @torch.no_grad()
    def predict(self, images: Tensor, noise: float = 1.0, keys: Tensor | None = None) -> dict[str, Maps]:
        """All tasks for normalised images.

        Args:
            images: `(B, 3, H, W)`, normalised with ImageNet's mean and deviation.
            noise: scale of every noise draw of a diffusion method; 0 makes it deterministic.
            keys: `(B,)` int64 that the noise of each image is drawn from; without it all images get the same draw.

        Returns:
            `{"final": {task: (B, C, H, W) logits or values}, "initial": {...}}` at the images' size; `initial` is empty
            for methods that predict once.
        """
        keys = torch.zeros(len(images), dtype=torch.int64, device=images.device) if keys is None else keys
        final, initial = self.maps(images, noise, keys)
        return {
            name: {task: upsample(m, images.shape[-2:]) for task, m in maps.items()}
            for name, maps in (("final", final), ("initial", initial))
        }
