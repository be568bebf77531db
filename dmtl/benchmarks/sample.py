"""One labelled image as every benchmark hands it on, and how it is brought to another size."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from dmtl.tasks import TASKS

Fit = Literal["resize", "pad"]  # how a benchmark's images come to a shard's canvas: filling it, or as they are


@dataclass(frozen=True)
class Sample:
    """An image with all the labels it has.

    Attributes:
        image: `(H, W, 3)` uint8 RGB.
        labels: task -> `(H, W)`, for normals `(H, W, 3)`. Classes are uint8 with 255 = ignore; depth is float32 as stored by
            the benchmark and normals are float32 unit vectors, in both 0 = invalid.
    """

    image: np.ndarray
    labels: dict[str, np.ndarray]

    def brought_to(self, size: tuple[int, int], fit: Fit) -> "Sample":
        """The sample as a canvas of `size` (height, width) holds it: filling it, or scaled down only where it is larger."""
        height, width = self.image.shape[:2]
        if fit == "resize":
            return self.resized(size)
        scale = min(size[0] / height, size[1] / width, 1)
        return self.resized((max(1, round(height * scale)), max(1, round(width * scale))))

    def resized(self, size: tuple[int, int]) -> "Sample":
        """The sample at `size` (height, width): the image averaged over pixels, labels taken from the nearest one."""
        if self.image.shape[:2] == size:
            return self
        image = Image.fromarray(self.image).resize(size[::-1], Image.Resampling.BILINEAR)
        return Sample(np.asarray(image), {task: _nearest(label, size) for task, label in self.labels.items()})


def _nearest(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(size, label.shape[:2], strict=True))
    return label[rows[:, None], columns]


def label_dtype(task: str) -> type[np.generic]:
    """How a label is stored: classes in a byte, depth exactly, unit vectors to 0.03 degrees."""
    if not TASKS[task].continuous:
        return np.uint8
    return np.float16 if task == "normals" else np.float32
