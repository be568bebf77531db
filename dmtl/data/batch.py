"""A batch of partially labelled images: only the labels that exist, each beside the image it belongs to."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass  # not frozen: Fabric converts precision by setting attributes of a copy
class Batch:
    """Images and the labelled (image, task) pairs among them.

    Attributes:
        images: `(B, 3, H, W)`, normalised.
        keys: `(B,)` int64, one number an image from which its noise is drawn.
        labels: task -> `(n_t, C, H, W)`, only those that the setting shows.
        rows: task -> `(n_t,)` int64, the image of each label; the pairs that training denoises.
        weights: task -> `(n_t,)`, T / |L_i| / B of each pair (`dmtl.losses.pair_weights`).
    """

    images: Tensor
    keys: Tensor
    labels: dict[str, Tensor]
    rows: dict[str, Tensor]
    weights: dict[str, Tensor]

    def only(self, tasks: Collection[str]) -> "Batch":
        """The same images with the labels of `tasks` alone; the weights stay."""

        def keep(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {task: tensor for task, tensor in tensors.items() if task in tasks}

        return replace(self, labels=keep(self.labels), rows=keep(self.rows), weights=keep(self.weights))

    def naming(self, tasks: Sequence[str]) -> "Batch":
        """The same batch with each of `tasks` named, if only by no label at all, in their order.

        Several processes need it: batch norm exchanges statistics on the way back, too, so where one of them labels a task, all
        must go back through its layers. A network treats no label like any other number of them.
        """

        def named(tensors: dict[str, Tensor], empty: Callable[[str], Tensor]) -> dict[str, Tensor]:
            return {task: tensors[task] if task in tensors else empty(task) for task in tasks}

        size, images = self.images.shape[-2:], self.images
        return replace(
            self,
            labels=named(self.labels, lambda task: images.new_empty(0, 3 if task == "normals" else 1, *size)),
            rows=named(self.rows, lambda _: self.keys.new_empty(0)),
            weights=named(self.weights, lambda _: images.new_empty(0)),
        )

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`, copied without waiting."""

        def move(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {task: tensor.to(device, non_blocking=True) for task, tensor in tensors.items()}

        images = self.images.to(device, non_blocking=True)
        keys = self.keys.to(device, non_blocking=True)
        return Batch(images, keys, move(self.labels), move(self.rows), move(self.weights))

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from where a GPU copies while it computes."""

        def pin(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {task: tensor.pin_memory() for task, tensor in tensors.items()}

        return Batch(self.images.pin_memory(), self.keys.pin_memory(), pin(self.labels), pin(self.rows), pin(self.weights))
