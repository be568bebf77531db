"""One labelled image as every benchmark hands it on, and how it is brought to another size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image

from dmtl.tasks import Task
from dmtl.tasks.shared.arrays import nearest_pixels

Fit = Literal["resize", "pad"]  # how a benchmark's images come to a shard's canvas: filling it, or as they are


@dataclass(frozen=True)
class Sample:
    """An image with the labels it has.

    Attributes:
        image: `(H, W, 3)` uint8 RGB.
        labels: task -> `(H, W)` or `(H, W, C)`, typed as its kind (`dmtl/tasks`) says; a task without a label is not there.
        extras: what a metric needs beyond the labels, `(H, W)` each: `label_map`, uint16, the regions between boundaries.
    """

    image: np.ndarray
    labels: dict[str, np.ndarray]
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    def brought_to(self, size: tuple[int, int], fit: Fit, tasks: Iterable[Task]) -> "Sample":
        """The sample with the labels of `tasks` as a canvas of `size` (height, width) holds it.

        It fills the canvas, or, where `fit` is "pad", it is scaled down only if it is larger.
        """
        height, width = self.image.shape[:2]
        if fit == "resize":
            return self.resized(size, tasks)
        scale = min(size[0] / height, size[1] / width, 1)
        return self.resized((max(1, round(height * scale)), max(1, round(width * scale))), tasks)

    def resized(self, size: tuple[int, int], tasks: Iterable[Task]) -> "Sample":
        """The sample with the labels of `tasks` at `size` (height, width), each label brought there as its kind says."""
        if self.image.shape[:2] == size:
            return self
        there = [task for task in tasks if task.name in self.labels]
        labels = {task.name: task.kind.resized(self.labels[task.name], size) for task in there}
        extras = {name: nearest_pixels(extra, size) for name, extra in self.extras.items()}
        return Sample(resized_photo(self.image, size), labels, extras)


@dataclass(frozen=True)
class ImageList:
    """Some of a split's images: their ids, or None for all of them, and what the list is."""

    ids: frozenset[str] | None
    title: str

    def holds(self, ids: Sequence[str]) -> np.ndarray:
        """`(N,)` bool: which of `ids` are on the list."""
        return np.array([self.ids is None or name in self.ids for name in ids])


def resized_photo(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A photo `(H, W, 3)` uint8 at `size` (height, width), averaged over pixels."""
    return np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR))
