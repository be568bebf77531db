"""Seconds an image of the boundary metric, on the ten reference images or on synthetic ones: `python bench/odsf.py`.

Compared with SciPy's matching and scikit-image's thinning, measured in the same run at a few thresholds, and with the original
C++ code, whose time is quoted, not measured.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import cKDTree
from skimage.morphology import thin

from dmtl.metrics.boundary import MAX_DIST, THRESHOLDS, boundary_counts, boundary_from_labels
from dmtl.metrics.boundary_maps import suppress

ORIGINAL_SECONDS = 10.0
"""Original C++ correspondence with thinning, mean over the ten reference images on one core: documented, not measured here."""

SHARED = Path(os.environ.get("DMTL_SHARED_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]


def main() -> None:
    args = parse_arguments()
    reference = reference_pairs(args.data)
    pairs = reference or synthetic_pairs()
    print(f"{len(reference)} reference images" if reference else f"synthetic images: no reference images in {args.data}")
    first = seconds(lambda: boundary_counts(*next(iter(pairs.values()))))
    print(f"first call {first:.2f} s (compiles, or loads what an earlier run compiled)\n")
    print("image          size       true  predicted  seconds")
    ours = float(np.mean([time_image(name, soft, label, args.repeat) for name, (soft, label) in pairs.items()]))
    print(f"\nmean {ours:.4f} s an image, all {len(THRESHOLDS)} thresholds, one core")
    if reference:
        print(f"original code: {ORIGINAL_SECONDS} s (documented, not measured here), {ORIGINAL_SECONDS / ours:.0f} times as long")
    if args.scipy:
        compare_with_scipy(pairs, args.scipy, ours)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = SHARED / "boundary_reference"
    parser.add_argument("--data", type=Path, default=folder, help="folder with soft/ and labels/ (%(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="runs an image, of which the median counts (%(default)s)")
    thresholds = [0.4, 0.6, 0.8]
    parser.add_argument(
        "--scipy", type=float, nargs="*", default=thresholds, help="where to time SciPy, or nothing (%(default)s)"
    )
    return parser.parse_args()


def reference_pairs(folder: Path) -> Pairs:
    """Soft map and label map of each reference image, by name; empty where the folder is missing."""
    return {path.stem: (read(path), read(folder / "labels" / path.name)) for path in sorted(folder.glob("soft/*.png"))}


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def synthetic_pairs(images: int = 10, shape: tuple[int, int] = (321, 481)) -> Pairs:
    """Smooth random regions, and a boundary map that finds them roughly, amid noise."""
    pairs = {}
    for seed in range(images):
        random = np.random.default_rng(seed)
        label = np.digitize(gaussian_filter(random.normal(size=shape), 25) * 25, (-0.2, 0, 0.2))
        edges = gaussian_filter(boundary_from_labels(label).astype(float), 1.5) * random.uniform(0.5, 2.5, shape)
        noise = np.clip(gaussian_filter(random.normal(size=shape), 2), 0, None)
        pairs[f"synthetic {seed}"] = (255 * np.clip(edges + noise, 0, 1)).astype(np.uint8), label
    return pairs


def time_image(name: str, soft: np.ndarray, label: np.ndarray, repeat: int) -> float:
    """Median seconds of one image, printed with its size."""
    median = float(np.median([seconds(lambda: boundary_counts(soft, label)) for _ in range(repeat)]))
    counts = boundary_counts(soft, label)
    print(f"{name:12}  {soft.shape[0]:3} x {soft.shape[1]:3}  {counts.truth:6}  {counts.predicted[0]:9}  {median:.4f}")
    return median


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare_with_scipy(pairs: Pairs, thresholds: list[float], ours: float) -> None:
    """Time thinning and matching by scikit-image and SciPy, a threshold at a time."""
    total = 0.0
    for soft, label in pairs.values():
        strength, truth = suppress(soft), boundary_from_labels(label)
        for threshold in thresholds:
            total += seconds(lambda: scipy_matching(thin(strength > threshold), truth))  # noqa: B023 (called at once)
    mean, ours_each = total / (len(pairs) * len(thresholds)), ours / len(THRESHOLDS)
    print(f"SciPy and scikit-image: {mean:.5f} s a threshold for thinning and matching alone, at {thresholds}")
    print(f"ours: {ours_each:.5f} s a threshold with everything included; SciPy takes {mean / ours_each:.0f} times as long")


def scipy_matching(predicted: np.ndarray, truth: np.ndarray) -> int:
    """Size of a maximum matching of two binary maps, by k-d trees and SciPy."""
    a, b = np.argwhere(predicted), np.argwhere(truth)
    near = cKDTree(a).sparse_distance_matrix(cKDTree(b), MAX_DIST * np.hypot(*truth.shape), output_type="ndarray")
    graph = coo_array((np.ones(len(near), bool), (near["i"], near["j"])), shape=(len(a), len(b))).tocsr()
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


if __name__ == "__main__":
    main()
