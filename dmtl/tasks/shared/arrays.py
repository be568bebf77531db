"""What several kinds do with arrays of pixels, in NumPy."""

import numpy as np

from dmtl.tasks.shared.kind import IGNORE, Span


def nearest_pixels(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An array `(H, W)` or `(H, W, C)` at `size` (height, width), each pixel taken from the one at its centre."""
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(size, label.shape[:2], strict=True))
    return label[rows[:, None], columns]


def any_of_pixels(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The largest value among the pixels `(H, W)` that each one of `size` (height, width) stands for."""
    rows, columns = (np.arange(n) * side // n for n, side in zip(size, label.shape, strict=True))
    return np.maximum.reduceat(np.maximum.reduceat(label, rows, axis=0), columns, axis=1)


def on_canvas(array: np.ndarray, size: tuple[int, int], fill: float) -> np.ndarray:
    """`(h, w, ...)` at the top left of a canvas of `size` (height, width) filled with `fill`."""
    if array.shape[:2] == size:
        return array
    canvas = np.full((*size, *array.shape[2:]), fill, array.dtype)
    canvas[: array.shape[0], : array.shape[1]] = array
    return canvas


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """`(..., C)` made one long; a zero vector stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))


def ignored_as_nan(label: np.ndarray) -> np.ndarray:
    """A label `(C, H, W)` as `(H, W, C)` float32, NaN where any channel is ignored."""
    values = np.moveaxis(label.astype(np.float32), 0, -1)
    return np.where((values == IGNORE).any(-1, keepdims=True), np.nan, values)


def to_steps(values: np.ndarray, span: Span) -> np.ndarray:
    """Values from one end of `span` to the other as bytes 0 to 254; 255 where they are NaN."""
    low, high = map(np.float32, span)
    share = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1)
    return np.where(np.isnan(values), IGNORE, np.rint((IGNORE - 1) * share)).astype(np.uint8)


def from_steps(codes: np.ndarray, span: Span) -> np.ndarray:
    """What `to_steps` coded, float32, to half a step."""
    low, high = map(np.float32, span)
    return np.where(codes == IGNORE, np.nan, low + codes.astype(np.float32) * ((high - low) / (IGNORE - 1)))


def eight_bits(probability: np.ndarray) -> np.ndarray:
    """A probability map in [0, 1] as uint8, 255 = certain, truncated."""
    return (255 * probability).astype(np.uint8)
