"""The bootstrap over test images and seeds (Efron and Tibshirani, An Introduction to the Bootstrap, 13.3: percentile intervals).

A draw takes as many images as there are, with replacement. All draws of sums over images are then one product of matrices.
"""

import numpy as np


def draw_images(images: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """`(draws, images)` float64: how often each draw takes each image."""
    taken = rng.integers(images, size=(draws, images), dtype=np.int32)
    return np.stack([np.bincount(draw, minlength=images) for draw in taken]).astype(np.float64)


def draw_seeds(seeds: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """`(seeds, draws)`: the seeds that each draw takes, as many as there are, with replacement."""
    return rng.integers(seeds, size=(seeds, draws))


def interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """Percentile interval of `(draws,)` that covers `level` per cent; draws in which a metric is undefined are left out."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = (100 - level) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)
