"""Made-up results: scores of every task, and statistics of test images."""

import random

import numpy as np

from dmtl.benchmarks import benchmark
from dmtl.metrics.per_image import PerImage

NYUD = {"semseg": 4, "depth": 1, "normals": 3}  # output channels; fewer classes than there are


def random_scores(name: str, rng: random.Random) -> dict[str, dict[str, float]]:
    """The headline metric of each task of a benchmark."""
    return {task.name: {task.kind.metric: rng.uniform(1, 90)} for task in benchmark(name).tasks}


def depth_table(errors: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Statistics of images with these mean errors and numbers of pixels."""
    return np.stack([errors * pixels, errors**2 * pixels, errors * pixels, pixels], axis=1)


def semseg_table(rng: np.random.Generator, images: int, classes: int, hit: float) -> np.ndarray:
    """[hits, labelled, predicted] of each class; a pixel that is missed is predicted to be of the next class."""
    labelled = rng.integers(0, 100, (images, classes))
    hits = rng.binomial(labelled, hit)
    return np.concatenate([hits, labelled, hits + np.roll(labelled - hits, 1, axis=1)], axis=1)


def normals_table(rng: np.random.Generator, images: int, mean: float) -> np.ndarray:
    """Statistics of images whose angles are about `mean` degrees."""
    counts = rng.integers(0, 30, (images, 234))
    return np.concatenate([rng.gamma(4, mean / 4, (images, 1)) * counts.sum(1, keepdims=True), counts], axis=1)


def nyud_statistics(seed: int, images: int, hit: float = 0.5, depth: float = 0.5, normals: float = 20) -> PerImage:
    """Random statistics of an NYUD cell."""
    rng = np.random.default_rng(seed)
    tables = {
        "semseg": semseg_table(rng, images, 4, hit),
        "depth": depth_table(rng.gamma(4, depth / 4, images), rng.integers(50, 100, images).astype(float)),
        "normals": normals_table(rng, images, normals),
    }
    ids = np.array([str(k) for k in range(images)])
    return PerImage({"cell": f"c{seed}", "scale": "demo", "seed": 0}, NYUD, {}, ids, np.arange(images), {"final": tables})
