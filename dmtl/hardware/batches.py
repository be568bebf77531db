"""Batches of random images and labels, of the shapes that a training sees: what is in them does not change the time."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dmtl.data.batch import Batch
from dmtl.losses import image_weights
from dmtl.tasks import Kind


def random_batch(
    kinds: Mapping[str, Kind], outputs: Mapping[str, int], size: tuple[int, int], count: int, setting: str = "onelabel"
) -> Batch:
    """`count` images of `size` (height, width) on the CPU, the same every time.

    Args:
        kinds: task -> its kind.
        outputs: task -> channels of a prediction.
        setting: `onelabel`: the tasks in turn, `randomlabels`: every second pair, `full` and any other: all labels.
    """
    generator = torch.Generator().manual_seed(0)
    image, task = torch.arange(count)[:, None], torch.arange(len(outputs))[None]
    everywhere = torch.ones(count, len(outputs), dtype=torch.bool)
    masks = {"onelabel": task == image % len(outputs), "randomlabels": (image + task) % 2 == 0}
    label_mask = masks.get(setting, everywhere)
    index = {name: label_mask[:, t].nonzero()[:, 0] for t, name in enumerate(outputs) if label_mask[:, t].any()}

    def label(name: str, number: int) -> Tensor:
        kind = kinds[name]
        shape = (number, kind.label_channels(outputs[name]), *size)
        if kind.continuous:
            return torch.rand(shape, generator=generator) + 0.1
        return torch.randint(0, outputs[name] if kind.indexed else 2, shape, generator=generator).float()

    return Batch(
        ids=tuple(map(str, range(count))),
        images=torch.randn(count, 3, *size, generator=generator),
        noise_keys=torch.arange(count),
        labels={name: label(name, len(images)) for name, images in index.items()},
        image_index=index,
        image_weights=image_weights(label_mask, "per_image"),
    )
