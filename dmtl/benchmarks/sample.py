"""One labelled image as every benchmark hands it on, and how it is brought to another size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image

Fit = Literal["resize", "pad"]  # how a benchmark's images come to a shard's canvas: filling it, or as they are
NO_NORMAL = 128  # in all three channels of an 8-bit normal, which would be a vector of length 0.007


@dataclass(frozen=True)
class Sample:
    """An image with all the labels it has.

    Attributes:
        image: `(H, W, 3)` uint8 RGB.
        labels: task -> `(H, W)`, for normals `(H, W, 3)`. Classes are uint8 with 255 = ignore; depth is float32 as stored by
            the benchmark and normals are float32 unit vectors, in both 0 = invalid. Normals published in 8 bits stay uint8:
            v = 127.5 (n + 1) in each channel, and 128 in all three where there is none.
        extras: what a metric needs beyond the labels, `(H, W)` each: PASCAL's `label_map`, uint16.
    """

    image: np.ndarray
    labels: dict[str, np.ndarray]
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    def brought_to(self, size: tuple[int, int], fit: Fit) -> "Sample":
        """The sample as a canvas of `size` (height, width) holds it: filling it, or scaled down only where it is larger."""
        height, width = self.image.shape[:2]
        if fit == "resize":
            return self.resized(size)
        scale = min(size[0] / height, size[1] / width, 1)
        return self.resized((max(1, round(height * scale)), max(1, round(width * scale))))

    def resized(self, size: tuple[int, int]) -> "Sample":
        """The sample at `size` (height, width): the image averaged over pixels, labels taken from the nearest one.

        Boundaries, which are one pixel wide, are kept where any of the pixels that one stands for has them.
        """
        if self.image.shape[:2] == size:
            return self
        image = Image.fromarray(self.image).resize(size[::-1], Image.Resampling.BILINEAR)
        labels = {
            task: _any_of(label, size) if task == "boundary" else nearest_pixels(label, size)
            for task, label in self.labels.items()
        }
        return Sample(np.asarray(image), labels, {name: nearest_pixels(extra, size) for name, extra in self.extras.items()})


@dataclass(frozen=True)
class ImageList:
    """Some of a split's images: their ids, or None for all of them, and what the list is."""

    ids: frozenset[str] | None
    title: str

    def holds(self, ids: Sequence[str]) -> np.ndarray:
        """`(N,)` bool: which of `ids` are on the list."""
        return np.array([self.ids is None or name in self.ids for name in ids])


def nearest_pixels(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A label `(H, W)` or `(H, W, C)` at `size`, each pixel taken from the one at its centre."""
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(size, label.shape[:2], strict=True))
    return label[rows[:, None], columns]


def _any_of(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The largest value among the pixels `(H, W)` that each one of `size` stands for."""
    rows, columns = (np.arange(n) * side // n for n, side in zip(size, label.shape, strict=True))
    return np.maximum.reduceat(np.maximum.reduceat(label, rows, axis=0), columns, axis=1)
