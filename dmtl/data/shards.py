"""HDF5 shards: one file a split, one sample a chunk, the label masks beside the labels (pipeline.md C).

Written once under a temporary name and renamed, without times or names of machines, so that equal content gives equal bytes.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dmtl.benchmarks.sample import Sample, label_dtype
from dmtl.errors import UserError
from dmtl.files import replacing

PACKED: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}  # lzf is faster, but its bytes vary


def write_shard(
    path: Path,
    samples: Iterable[Sample],
    ids: Sequence[str],
    outputs: dict[str, int],
    size: tuple[int, int],
    masks: dict[str, np.ndarray],
    about: dict[str, Any],
) -> None:
    """Write a split.

    Args:
        path: the shard; it appears only when it is complete.
        samples: one for each of `ids`, in their order.
        ids: names of the images.
        outputs: task -> output channels, in the benchmark's order.
        size: (height, width) that every sample is brought to.
        masks: setting -> `(N, T)` of 0 and 1 in the order of `outputs`; empty for a test split.
        about: small facts kept as attributes (benchmark, split, source).
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({**about, "outputs": json.dumps(outputs)})
        file["id"] = np.array([name.encode() for name in ids])
        for setting, mask in masks.items():
            file[f"label_mask/{setting}"] = mask.astype(np.uint8)
        _write_samples(file, samples, len(ids), tuple(outputs), size)


def _write_samples(file: h5py.File, samples: Iterable[Sample], count: int, tasks: Sequence[str], size: tuple[int, int]) -> None:
    def dataset(name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> h5py.Dataset:
        return file.create_dataset(name, (count, *shape), dtype, chunks=(1, *shape), **PACKED)

    image = dataset("image", (*size, 3), np.uint8)
    labels = {task: dataset(task, (*size, 3) if task == "normals" else size, label_dtype(task)) for task in tasks}
    original = file.create_dataset("original_size", (count, 2), np.int32)
    for k, sample in enumerate(samples):
        small = sample.resized(size)
        image[k] = small.image
        original[k] = sample.image.shape[:2]
        for task, target in labels.items():
            target[k] = small.labels[task]


class Shard:
    """Read access to a shard; opened on first use in each process, so it can be handed to loading workers.

    Raises:
        UserError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._handle: tuple[int, h5py.File] | None = None
        with self._explained():
            file = self._file()
            self.outputs: dict[str, int] = json.loads(file.attrs["outputs"])
            self.about = {name: value for name, value in file.attrs.items() if name != "outputs"}
            self.ids = [name.decode() for name in file["id"][:]]
            self.size: tuple[int, int] = file["image"].shape[1:3]
        self._close()

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def mask(self, setting: str) -> np.ndarray:
        """`(N, T)` uint8: which labels the setting shows."""
        return self._read(f"label_mask/{setting}", slice(None))

    def content_size(self, k: int) -> tuple[int, int]:
        """(height, width) of image k in the shard; its canvas is `size`."""
        return self.size

    def image(self, k: int) -> np.ndarray:
        """`(H, W, 3)` uint8."""
        return self._read("image", k)

    def label(self, task: str, k: int) -> np.ndarray:
        """`(H, W)` or `(H, W, 3)`, typed as `dmtl.benchmarks.sample.Sample` says."""
        return self._read(task, k)

    def _read(self, name: str, index: Any) -> np.ndarray:
        with self._explained():
            return self._file()[name][index]

    def _file(self) -> h5py.File:
        """This process's own handle: one inherited over a fork is not to be used."""
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = (os.getpid(), h5py.File(self.path, "r", locking=False))
        return self._handle[1]

    def _close(self) -> None:
        if self._handle is not None:
            self._handle[1].close()
            self._handle = None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise UserError(f"{self.path} is missing: build it with 'dvc repro', or python stages/shards.py") from None
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f"{self.path} is damaged or of another version ({error}): delete it and build it again") from None
