"""A batch of partially labelled images: only the labels that exist, each beside the image it belongs to."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass  # not frozen: Fabric converts precision by setting attributes of a copy
class Batch:
    """Images and the labelled (image, task) pairs among them.

    Attributes:
        ids: the names of the B images.
        images: `(B, 3, H, W)`, normalised.
        noise_keys: `(B,)` int64, the number from which the random draws of each image are made.
        labels: task -> `(n_t, C, H, W)`, only those that the setting shows.
        image_index: task -> `(n_t,)` int64, which of the images each label belongs to; the pairs that training denoises.
        image_weights: `(B,)`, what each image's losses count (`dmtl.losses.image_weights`).
        host_copy: `image_index` as it was on the CPU, where the batch has been moved from there (`host_index`).
    """

    ids: tuple[str, ...]
    images: Tensor
    noise_keys: Tensor
    labels: dict[str, Tensor]
    image_index: dict[str, Tensor]
    image_weights: Tensor
    host_copy: dict[str, Tensor] | None = None

    @property
    def host_index(self) -> dict[str, Tensor]:
        """`image_index` on the CPU, for what only it can decide: how many pairs there are. No device is waited for."""
        return self.image_index if self.host_copy is None else self.host_copy

    def only(self, tasks: Collection[str]) -> "Batch":
        """The same images with the labels of `tasks` alone; the images' weights stay."""

        def keep(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {task: tensor for task, tensor in tensors.items() if task in tasks}

        host_copy = None if self.host_copy is None else keep(self.host_copy)
        return replace(self, labels=keep(self.labels), image_index=keep(self.image_index), host_copy=host_copy)

    def naming(self, label_channels: Mapping[str, int]) -> "Batch":
        """The same batch with each of the tasks named, even those without a label, in their order.

        Several processes need it: batch norm exchanges statistics on the way back, too, so where one of them labels a task, all
        must go back through its layers. A network treats no label like any other number of them.

        Args:
            label_channels: task -> channels of its labels.
        """
        size, images = self.images.shape[-2:], self.images

        def named(tensors: dict[str, Tensor], empty: Callable[[int], Tensor]) -> dict[str, Tensor]:
            return {task: tensors[task] if task in tensors else empty(n) for task, n in label_channels.items()}

        return replace(
            self,
            labels=named(self.labels, lambda channels: images.new_empty(0, channels, *size)),
            image_index=named(self.image_index, lambda _: self.noise_keys.new_empty(0)),
        )

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`, copied without waiting."""
        return replace(self._each(lambda tensor: tensor.to(device, non_blocking=True)), host_copy=self.host_index)

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from where a GPU copies while it computes."""
        return self._each(Tensor.pin_memory)

    def _each(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """The same batch with `function` applied to every tensor."""
        labels, index = ({task: function(t) for task, t in part.items()} for part in (self.labels, self.image_index))
        return Batch(self.ids, function(self.images), function(self.noise_keys), labels, index, function(self.image_weights))
