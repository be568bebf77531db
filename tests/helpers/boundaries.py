"""Random boundary maps and label maps, and where the reference ones are."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import cKDTree

from dmtl.metrics.boundary import (
    BoundaryCounts,
)
from helpers.project import ROOT

SHARED = Path(os.environ.get("DMTL_SHARED_DATA", ROOT.parent / "shared" / "data"))
REFERENCE = SHARED / "boundary_reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason=f"no reference counts at {REFERENCE}; set DMTL_SHARED_DATA to the folder that holds them"
)


def read_counts(path: Path) -> BoundaryCounts:
    """What `write_counts` wrote."""
    matched, truth, _, predicted = np.loadtxt(path, np.int64, skiprows=1, usecols=(1, 2, 3, 4)).T
    return BoundaryCounts(matched, predicted, int(truth[0]))


def random_soft(seed: int, shape: tuple[int, int] = (40, 56), blur: float = 1.5) -> np.ndarray:
    """A boundary map `(H, W)` of 8 bits: smooth noise, half of it zero."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), blur)
    return (255 * np.clip(noise / noise.max(), 0, 1)).astype(np.uint8)


def random_label(seed: int, shape: tuple[int, int] = (40, 56), blur: float = 3) -> np.ndarray:
    """A label map `(H, W)` of four smooth regions."""
    return np.digitize(gaussian_filter(np.random.default_rng(seed).normal(size=shape), blur) * blur, (-0.3, 0, 0.3))


def scipy_matching(predicted: np.ndarray, truth: np.ndarray, radius: float) -> int:
    """Maximum matching of two binary maps by k-d trees and SciPy's exact algorithm."""
    a, b = np.argwhere(predicted), np.argwhere(truth)
    if not len(a) or not len(b):
        return 0
    # The trees hold whole numbers, so half a unit of the squared radius is no tie.
    near = cKDTree(a).sparse_distance_matrix(cKDTree(b), np.sqrt(np.floor(radius**2) + 0.5), output_type="ndarray")
    graph = coo_array((np.ones(len(near), bool), (near["i"], near["j"])), shape=(len(a), len(b))).tocsr()
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())
