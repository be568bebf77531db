"""From shards to batches: what a setting allows, augmented and ordered as a pure function of (seed, epoch, image)."""

import hashlib
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dmtl.config import Augmentation, Normalisation, ScalePadCrop
from dmtl.data.batch import Batch
from dmtl.data.shards import Shard
from dmtl.data.transforms import augment, finish, hide_invalid
from dmtl.errors import UserError
from dmtl.losses import image_weights

PATIENCE = 25.0  # seconds without a batch from the loading processes, after which they are given up


@dataclass(frozen=True)
class Example:
    """A normalised image `(3, H, W)`, its id, the labels that may be used, task -> `(C, H, W)`, and the key of its noise."""

    id: str
    image: Tensor
    labels: dict[str, Tensor]
    noise_key: int


class TrainingSet(Dataset):
    """The training images that carry an allowed label of one of `tasks`, each with only those labels.

    A label that the setting hides is never read from the file, but for one option of the augmentation (`crop_by_hidden_label`),
    under which a hidden class map chooses the crop; it is never handed on.

    Args:
        shard: the training shard.
        setting: `onelabel`, `randomlabels` or `full`.
        tasks: what is trained.
        seed: of augmentation and noise.
        augmentation: what is drawn (`dmtl.data.transforms.augment`).
        normalisation: of the network.
        every_image: whether those without an allowed label are there too, as images alone.
    """

    def __init__(
        self,
        shard: Shard,
        setting: str,
        tasks: Sequence[str],
        seed: int,
        augmentation: Augmentation,
        normalisation: Normalisation,
        every_image: bool = False,
    ) -> None:
        label_mask = shard.label_mask(setting).astype(bool) & [task in tasks for task in shard.outputs]
        self._shard, self._label_mask = shard, label_mask
        labelled = label_mask.any(axis=1)
        self.images = np.flatnonzero(labelled | every_image)
        self.tasks, self.seed, self.augmentation, self.normalisation = tuple(tasks), seed, augmentation, normalisation
        if not labelled.any():
            raise UserError(f"{shard.path}: setting '{setting}' shows no label of {', '.join(tasks)}; nothing to train on")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> Example:
        epoch, index = epoch_and_index
        k = int(self.images[index])
        rng = np.random.default_rng([self.seed, epoch, k])
        size = self._shard.size
        kinds, name, labels = self._shard.kinds, self._shard.ids[k], self._labels(k)
        crop_map = self._crop_map(k, labels)
        image, labels = augment(_image(self._shard, k), labels, kinds, rng, self.augmentation, size, crop_map)
        return Example(name, *finish(image, labels, kinds, size, self.normalisation), noise_key(name, self.seed, epoch))

    def ids(self, indices: Iterable[int]) -> list[str]:
        """Names of images, by their positions in this set."""
        return [self._shard.ids[self.images[index]] for index in indices]

    def label_channels(self, indices: Iterable[int]) -> dict[str, int]:
        """The tasks that some of these images carry an allowed label of, in the benchmark's order -> channels of a label."""
        labelled = np.logical_or.reduce(self._label_mask[self.images[list(indices)]], axis=0)
        shard = self._shard
        tasks = [task for task, there in zip(shard.outputs, labelled, strict=True) if there]
        return {task: shard.kinds[task].label_channels(shard.outputs[task]) for task in tasks}

    def labels(self) -> Iterator[dict[str, Tensor]]:
        """The allowed labels of each image, not augmented."""
        for k in self.images:
            yield hide_invalid(self._labels(int(k)), self._shard.kinds)

    def _labels(self, k: int) -> dict[str, Tensor]:
        allowed = [task for task, there in zip(self._shard.outputs, self._label_mask[k], strict=True) if there]
        return {task: _label(self._shard, task, k) for task in allowed}

    def _crop_map(self, k: int, labels: dict[str, Tensor]) -> Tensor | None:
        """The class map of the first task that has one, which chooses a crop; a hidden one only where that is asked for."""
        task = next((task for task, kind in self._shard.kinds.items() if kind.indexed), None)
        if task is None or task in labels or not isinstance(self.augmentation, ScalePadCrop):
            return labels.get(task or "")
        return _label(self._shard, task, k) if self.augmentation.crop_by_hidden_label else None


class EvaluationSet(Dataset):
    """Every test image with all its labels, in the middle of the canvas."""

    def __init__(self, shard: Shard, seed: int, normalisation: Normalisation) -> None:
        self._shard, self.seed, self.normalisation = shard, seed, normalisation

    def __len__(self) -> int:
        return len(self._shard)

    def __getitem__(self, k: int) -> Example:
        shard, name = self._shard, self._shard.ids[k]
        labels = {task: _label(shard, task, k) for task in shard.outputs}
        finished = finish(_image(shard, k), labels, shard.kinds, shard.size, self.normalisation)
        return Example(name, *finished, noise_key(name, self.seed, epoch=-1))


class EpochBatches(Sampler):
    """Shuffled batches of (epoch, index), an epoch at a time, from any batch on; the incomplete last batch is dropped.

    `share` = (k, n) gives of every batch the k-th of n parts, from 0: those of all processes are the batch of one.
    """

    def __init__(self, count: int, batch: int, seed: int, epoch: int, start: int = 0, share: tuple[int, int] = (0, 1)) -> None:
        self.count, self.batch, self.seed, self.epoch, self.start = count, min(batch, count), seed, epoch, start
        self.share = share

    def __len__(self) -> int:
        return self.count // self.batch - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        for first in range(self.start * self.batch, self.count - self.batch + 1, self.batch):
            mine = order[first : first + self.batch][self.share[0] :: self.share[1]]
            yield [(self.epoch, int(index)) for index in mine]


class TrainingBatches:
    """The batches of a training, or this process's share of each; the loading processes stay from one epoch to the next.

    To be used in a `with` block. torch tells of a loading process's death wherever the training happens to be.
    """

    def __init__(self, data: TrainingSet, batch: int, workers: int, label_balance: str, share: tuple[int, int] = (0, 1)) -> None:
        self._data = data
        self._sampler = EpochBatches(len(data), batch, data.seed, epoch=0, share=share)
        self._loader = DataLoader(
            data,
            batch_sampler=self._sampler,
            collate_fn=Collate(data.tasks, label_balance, self._sampler.batch / share[1]),
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_ignore_signals,
            pin_memory=torch.cuda.is_available(),
            timeout=PATIENCE if workers else 0,
        )

    def __enter__(self) -> "TrainingBatches":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the loading processes where something went wrong; one that has died or hangs is told in a line."""
        if error is None:
            return
        if processes := getattr(self._loader._iterator, "_workers", []):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else torch tells of the death of those that are ended here
            for process in processes:
                process.kill()  # they heed no other signal
        if isinstance(error, RuntimeError) and "DataLoader" in str(error):
            reason = " ".join(str(error).split())[:120]
            raise UserError(
                f"a loading process has died or hangs ({reason}): is the memory full, or /dev/shm too small? "
                "Set fewer 'workers' in params.yaml and run it again; it goes on from the last checkpoint"
            ) from None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from number `start` on; a share names every task that the whole batch labels."""
        sampler = self._sampler
        sampler.epoch, sampler.start = epoch, start
        if sampler.share == (0, 1):
            yield from self._loader
            return
        whole = EpochBatches(sampler.count, sampler.batch, sampler.seed, epoch, start)
        for batch, indices in zip(self._loader, whole, strict=True):
            yield batch.naming(self._data.label_channels(index for _, index in indices))


def evaluation_batches(data: EvaluationSet, tasks: Sequence[str], batches: Sequence[list[int]]) -> DataLoader:
    """Test images by their positions, a batch at a time."""
    return DataLoader(data, batch_sampler=batches, collate_fn=Collate(tasks, "per_image"), pin_memory=torch.cuda.is_available())


@dataclass(frozen=True)
class Collate:
    """Examples -> Batch; `tasks` are those that T counts, `label_balance` as `dmtl.losses.image_weights` takes it.

    `batch` is what B counts where these are one process's share of a batch: B / processes, because gradients are averaged over
    the processes. None: the number of examples.
    """

    tasks: Sequence[str]
    label_balance: str
    batch: float | None = None

    def __call__(self, examples: Sequence[Example]) -> Batch:
        label_mask = torch.tensor([[task in example.labels for task in self.tasks] for example in examples])
        weights = image_weights(label_mask, self.label_balance) * (len(examples) / (self.batch or len(examples)))
        index = {task: label_mask[:, t].nonzero()[:, 0] for t, task in enumerate(self.tasks) if label_mask[:, t].any()}
        return Batch(
            ids=tuple(example.id for example in examples),
            images=torch.stack([example.image for example in examples]),
            noise_keys=torch.tensor([example.noise_key for example in examples], dtype=torch.int64),
            labels={task: torch.stack([examples[i].labels[task] for i in images]) for task, images in index.items()},
            image_index=index,
            image_weights=weights,
        )


def _ignore_signals(worker: int) -> None:
    """A signal to the whole group of processes is for the training, which stops its loading processes itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


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
