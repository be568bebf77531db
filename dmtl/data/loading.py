"""From shards to batches: what a setting shows, augmented and ordered as a pure function of (seed, epoch, image)."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dmtl.config import Augmentation, ScalePadCrop
from dmtl.data.batch import Batch
from dmtl.data.shards import Shard
from dmtl.data.transforms import augment, finish, hide_invalid
from dmtl.errors import UserError
from dmtl.losses import pair_weights


@dataclass(frozen=True)
class Example:
    """One image `(3, H, W)`, normalised, the labels that may be used, task -> `(C, H, W)`, and the key of its noise."""

    image: Tensor
    labels: dict[str, Tensor]
    key: int


class TrainingSet(Dataset):
    """The training images that carry a visible label of one of `tasks`, each with only those labels.

    A label that the setting hides is never read from the file, but for one option of the augmentation (`crop_by_hidden_semseg`),
    under which a hidden semseg label chooses the crop; it is never handed on.

    Args:
        shard: the training shard.
        setting: `onelabel`, `randomlabels` or `full`.
        tasks: what is trained.
        seed: of augmentation and noise.
        augmentation: what is drawn (`dmtl.data.transforms.augment`).
    """

    def __init__(self, shard: Shard, setting: str, tasks: Sequence[str], seed: int, augmentation: Augmentation) -> None:
        visible = shard.mask(setting).astype(bool) & [task in tasks for task in shard.outputs]
        self._shard, self._visible = shard, visible
        self.images = np.flatnonzero(visible.any(axis=1))
        self.tasks, self.seed, self.augmentation = tuple(tasks), seed, augmentation
        if not len(self.images):
            raise UserError(f"{shard.path}: setting '{setting}' shows no label of {', '.join(tasks)}; nothing to train on")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> Example:
        epoch, index = epoch_and_index
        k = int(self.images[index])
        rng = np.random.default_rng([self.seed, epoch, k])
        size = self._shard.size
        image, labels = augment(_image(self._shard, k), self._labels(k), rng, self.augmentation, size, self._hidden_semseg(k))
        return Example(*finish(image, labels, size), noise_key(self._shard.ids[k], self.seed, epoch))

    def labels(self) -> Iterator[dict[str, Tensor]]:
        """The visible labels of each image, not augmented."""
        for k in self.images:
            yield hide_invalid(self._labels(int(k)))

    def _labels(self, k: int) -> dict[str, Tensor]:
        shown = [task for task, visible in zip(self._shard.outputs, self._visible[k], strict=True) if visible]
        return {task: _label(self._shard, task, k) for task in shown}

    def _hidden_semseg(self, k: int) -> Tensor | None:
        """What chooses the crop of an image without visible semseg, where that is asked for."""
        choice, tasks = self.augmentation, list(self._shard.outputs)
        if not isinstance(choice, ScalePadCrop) or not choice.crop_by_hidden_semseg or "semseg" not in tasks:
            return None
        return None if self._visible[k, tasks.index("semseg")] else _label(self._shard, "semseg", k)


class EvaluationSet(Dataset):
    """Every test image with all its labels, in the middle of the canvas."""

    def __init__(self, shard: Shard, seed: int) -> None:
        self._shard, self.seed = shard, seed

    def __len__(self) -> int:
        return len(self._shard)

    def __getitem__(self, k: int) -> Example:
        labels = {task: _label(self._shard, task, k) for task in self._shard.outputs}
        key = noise_key(self._shard.ids[k], self.seed, epoch=-1)
        return Example(*finish(_image(self._shard, k), labels, self._shard.size), key)


class EpochBatches(Sampler):
    """Shuffled batches of (epoch, index), an epoch at a time, from any batch on; the incomplete last batch is dropped."""

    def __init__(self, count: int, batch: int, seed: int, epoch: int, start: int = 0) -> None:
        self.count, self.batch, self.seed, self.epoch, self.start = count, min(batch, count), seed, epoch, start

    def __len__(self) -> int:
        return self.count // self.batch - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        for first in range(self.start * self.batch, self.count - self.batch + 1, self.batch):
            yield [(self.epoch, int(index)) for index in order[first : first + self.batch]]


def training_batches(data: TrainingSet, batch: int, epoch: int, start: int, workers: int) -> DataLoader:
    """The batches of one epoch from number `start` on."""
    sampler = EpochBatches(len(data), batch, data.seed, epoch, start)
    return DataLoader(
        data,
        batch_sampler=sampler,
        collate_fn=Collate(data.tasks),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )


def evaluation_batches(data: EvaluationSet, tasks: Sequence[str], batches: Sequence[list[int]]) -> DataLoader:
    """Test images by their positions, a batch at a time."""
    return DataLoader(data, batch_sampler=batches, collate_fn=Collate(tasks), pin_memory=torch.cuda.is_available())


@dataclass(frozen=True)
class Collate:
    """Examples -> Batch; `tasks` are those that T counts."""

    tasks: Sequence[str]

    def __call__(self, examples: Sequence[Example]) -> Batch:
        mask = torch.tensor([[task in example.labels for task in self.tasks] for example in examples])
        weights = pair_weights(mask)
        rows = {task: mask[:, t].nonzero()[:, 0] for t, task in enumerate(self.tasks) if mask[:, t].any()}
        return Batch(
            images=torch.stack([example.image for example in examples]),
            keys=torch.tensor([example.key for example in examples], dtype=torch.int64),
            labels={task: torch.stack([examples[i].labels[task] for i in index]) for task, index in rows.items()},
            rows=rows,
            weights={task: weights[index, self.tasks.index(task)] for task, index in rows.items()},
        )


def noise_key(image_id: str, seed: int, epoch: int) -> int:
    """What the noise of one image in one epoch is drawn from: a signed 64-bit number; epoch -1 is inference."""
    content = hashlib.blake2b(f"{seed}/{epoch}/{image_id}".encode(), digest_size=8).digest()
    return int.from_bytes(content, "little", signed=True)


def _image(shard: Shard, k: int) -> Tensor:
    """`(3, H, W)` uint8."""
    return torch.from_numpy(shard.image(k)).permute(2, 0, 1)


def _label(shard: Shard, task: str, k: int) -> Tensor:
    """`(C, H, W)` float."""
    label = torch.from_numpy(shard.label(task, k)).float()
    return label[None] if label.ndim == 2 else label.permute(2, 0, 1)
