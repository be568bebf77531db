"""The steps of boundary odsF, each against an independent form of it."""

import numpy as np
import pytest
from helpers.boundaries import random_label, random_soft, scipy_matching
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.morphology import thin

from dmtl.metrics.boundary import (
    THRESHOLDS,
    boundary_counts,
    boundary_from_labels,
)
from dmtl.metrics.boundary_kernels import match_planes, thin_planes
from dmtl.metrics.boundary_maps import plane_totals, suppress, threshold_planes


def test_suppression_against_a_loop_over_pixels():
    soft = random_soft(0, (23, 31))
    strength, (height, width) = soft / 255, soft.shape
    weights = np.outer([1, 2, 3, 4, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 4, 3, 2, 1]) / 625
    padded = np.pad(strength, 4, mode="symmetric")
    smooth = np.array([[(padded[y : y + 9, x : x + 9] * weights).sum() for x in range(width)] for y in range(height)])
    dy, dx = np.gradient(smooth)
    xx, xy, yy = np.gradient(dx, axis=1), np.gradient(dy, axis=1), np.gradient(dy, axis=0)

    def sample(y: float, x: float) -> float:
        y, x = min(max(y, 0), height - 1.001), min(max(x, 0), width - 1.001)
        a, b = y - int(y), x - int(x)
        corner = strength[int(y) : int(y) + 2, int(x) : int(x) + 2]
        return float(np.array([1 - a, a]) @ corner @ np.array([1 - b, b]))

    expected = np.zeros_like(strength)
    for y, x in np.argwhere(soft):
        angle = np.arctan(yy[y, x] * np.sign(-xy[y, x]) / (xx[y, x] + 1e-5)) % np.pi
        step_y, step_x = np.sin(angle), np.cos(angle)
        strongest = max(sample(y + step_y, x + step_x), sample(y - step_y, x - step_x))
        if 1.01 * strength[y, x] >= strongest:
            edge = [min(distance, 5) / 5 for distance in (y, x, height - 1 - y, width - 1 - x)]
            expected[y, x] = strength[y, x] * np.prod(edge)
    assert 0 < np.count_nonzero(expected) < np.count_nonzero(soft)
    np.testing.assert_allclose(suppress(soft), expected, rtol=1e-12)


def test_thresholds_are_strict():
    """51 / 255 is 0.2 to the last bit, and so not above the threshold 0.2."""
    assert len(THRESHOLDS) == 101
    totals = plane_totals(threshold_planes(np.array([[51 / 255, 1.0, 0.0, 0.001]]), margin=1))
    np.testing.assert_array_equal(totals, 1 + (THRESHOLDS < 0.2))
    assert (THRESHOLDS < 0.2).sum() == 20


@pytest.mark.long
@given(seed=st.integers(0, 2**32), blur=st.sampled_from([0, 0.6, 1, 2, 4]), density=st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_thinning_equals_scikit_image(seed, blur, density):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(70, 33, 29)), (0, blur, blur))
    maps = noise < np.quantile(noise, density)
    planes = np.zeros((35, 31, 2), np.uint64)
    for k, binary in enumerate(maps):
        planes[1:-1, 1:-1, k // 64] |= binary.astype(np.uint64) << np.uint64(k % 64)
    thin_planes(planes)
    for k, binary in enumerate(maps):
        thinned = planes[1:-1, 1:-1, k // 64] >> np.uint64(k % 64) & np.uint64(1)
        np.testing.assert_array_equal(thinned, thin(binary))


@pytest.mark.parametrize("seed", range(3))
def test_ground_truth_against_a_loop(seed):
    label = np.random.default_rng(seed).integers(0, 2, (9, 8)).repeat(2, axis=seed % 2)
    height, width = label.shape
    edge = np.zeros(label.shape, bool)
    for y, x in np.ndindex(label.shape):
        others = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        edge[y, x] = any(v < height and u < width and label[v, u] != label[y, x] for v, u in others)
    np.testing.assert_array_equal(boundary_from_labels(label), thin(edge))


@pytest.mark.parametrize("max_dist", [0, 0.0075, 0.03, 0.08])
@pytest.mark.parametrize("seed", range(3))
def test_counts_against_scikit_image_and_scipy(seed, max_dist):
    soft, label = random_soft(seed), random_label(seed)
    counts = boundary_counts(soft, label, max_dist)
    strength, truth = suppress(soft), boundary_from_labels(label)
    assert counts.truth == truth.sum() > 0
    for k in range(0, 101, 3):
        binary = thin(strength > THRESHOLDS[k])
        assert counts.predicted[k] == binary.sum()
        assert counts.matched[k] == scipy_matching(binary, truth, max_dist * np.hypot(*soft.shape))


@pytest.mark.parametrize(("distance", "paired"), [(6, 1), (7, 0)])
def test_pixels_exactly_at_the_distance_are_paired(distance, paired):
    """0.0075 of the diagonal of 480 x 640 is 6 pixels."""
    planes, truth = np.zeros((20, 20, 1), np.uint64), np.zeros((20, 20), bool)
    planes[8, 10], truth[8, 10 - distance] = 1, True
    assert match_planes(planes, truth, 0.0075 * np.hypot(480, 640), 1)[0] == paired


# Invariants


@given(seed=st.integers(0, 2**32), axis=st.sampled_from([0, 1, (0, 1)]), radius=st.floats(0, 5))
@settings(max_examples=40, deadline=None)
def test_matching_does_not_change_when_mirrored(seed, axis, radius):
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2**63, (2, 20, 30, 2), np.uint64)
    planes = np.pad(bits[0] & bits[1], ((6, 6), (6, 6), (0, 0)))
    truth = np.pad(random.random((20, 30)) < 0.2, 6)
    mirrored = match_planes(np.ascontiguousarray(np.flip(planes, axis)), np.flip(truth, axis), radius, 101)
    np.testing.assert_array_equal(match_planes(planes, truth, radius, 101), mirrored)
