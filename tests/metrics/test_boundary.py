"""Boundary odsF: what scores exactly, the summary of counts by hand, empty and bad input."""

import numpy as np
import pytest
from helpers.boundaries import random_label, random_soft
from hypothesis import given, settings
from hypothesis import strategies as st

from dmtl.errors import UserError
from dmtl.metrics.boundary import (
    THRESHOLDS,
    BoundaryCounts,
    boundary_counts,
    boundary_from_labels,
    statistics,
    summarise,
    summary_of,
)


@given(seed=st.integers(0, 2**32), blur=st.floats(2, 6))
@settings(max_examples=25, deadline=None)
def test_inner_boundaries_find_themselves_exactly(seed, blur):
    label = random_label(seed, (60, 80), blur)
    inner = np.zeros_like(label)
    inner[7:-7, 7:-7] = label[7:-7, 7:-7] + 1
    truth = boundary_from_labels(inner)
    score = summarise([boundary_counts(255 * truth.astype(np.uint8), inner)])
    assert score["ods"] == score["ois"] == 100


def test_boundaries_that_reach_the_border_lose_their_outermost_pixels_only():
    label = np.zeros((300, 400), int)
    label[:, 200:] = 1
    truth = boundary_from_labels(label)
    score = summarise([boundary_counts(255 * truth.astype(np.uint8), label)])
    assert 99.5 <= score["ods"] < 100


counts_lists = st.lists(
    st.integers(0, 2**32).map(lambda seed: _plausible_counts(np.random.default_rng(seed))), min_size=1, max_size=8
)


def _plausible_counts(random: np.random.Generator) -> BoundaryCounts:
    predicted = np.sort(random.integers(0, 3000, 101))[::-1]
    truth = int(random.integers(0, 1500)) * int(random.integers(0, 2))
    return BoundaryCounts((np.minimum(predicted, truth) * random.random()).astype(np.int64), predicted, truth)


@given(images=counts_lists, parts=st.integers(1, 4), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_merged_parts_equal_the_whole_in_any_split(images, parts, seed):
    share = np.random.default_rng(seed).integers(0, parts, len(images))
    rows = np.stack([statistics(image) for image in images])
    whole = sum(rows[share == part].sum(axis=0) for part in range(parts))
    assert summary_of(whole) == summarise(images)
    assert whole[-1] == len(images)


# Summary


def _stepwise(matched: list[int], predicted: list[int], truth: int) -> BoundaryCounts:
    """Counts that hold the given values at the first thresholds and zero at the others."""
    rest = [0] * (len(THRESHOLDS) - len(matched))
    return BoundaryCounts(np.array(matched + rest), np.array(predicted + rest), truth)


def test_ods_and_ois_by_hand():
    a, b = _stepwise([8, 6], [16, 6], 10), _stepwise([10, 1], [10, 1], 10)
    score = summarise([a, b])
    # ODS: at 0.001 P = 18/26, R = 18/20. OIS: a is best at 0.01 (F 0.75 against 0.615), b at 0.001, so P = 16/16, R = 16/20.
    assert score["ods"] == pytest.approx(100 * 2 * 18 / (26 + 20))
    assert score["ois"] == pytest.approx(100 * 2 * 16 / (16 + 20))
    assert score["threshold"] == 0.001


def test_average_precision_by_hand():
    """Precision runs from 1 at recall 0 (nothing predicted) to 0.5 at recall 0.5, and is 0 beyond."""
    recall = np.arange(51) / 100
    assert summarise([_stepwise([50], [100], 100)])["ap"] == pytest.approx(100 * 0.01 * (1 - recall).sum())
    assert summarise([BoundaryCounts(np.full(101, 5), np.full(101, 5), 5)])["ap"] == 0


# Empty and bad input


def test_empty_prediction_scores_zero():
    label = random_label(0)
    counts = boundary_counts(np.zeros(label.shape, np.uint8), label)
    assert counts.truth > 0
    assert not counts.matched.any()
    assert not counts.predicted.any()
    assert summarise([counts]) == {"ods": 0, "ois": 0, "ap": 0, "threshold": 0.001}


def test_empty_ground_truth_scores_zero_and_still_costs_precision():
    soft, label = random_soft(0), random_label(0)
    empty = boundary_counts(soft, np.zeros_like(label))
    assert empty.truth == 0
    assert empty.predicted[0] > 0
    assert summarise([empty])["ods"] == 0
    found = boundary_counts(soft, label)
    assert 0 < summarise([found, empty])["ods"] < summarise([found])["ods"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 9)])
def test_tiny_images_are_counted(shape):
    counts = boundary_counts(np.full(shape, 255, np.uint8), np.arange(np.prod(shape)).reshape(shape))
    assert (counts.matched <= np.minimum(counts.predicted, counts.truth)).all()
    if shape == (1, 1):
        assert counts.truth == 0
        assert (counts.predicted == 1).all()


label_map = np.zeros((4, 5), int)


@pytest.mark.parametrize(
    ("soft", "label", "words"),
    [
        (np.zeros((5, 4), np.uint8), label_map, r"shape \(5, 4\), its label map \(4, 5\)"),
        (np.zeros((4, 5), np.uint16), label_map, "must be uint8"),
        (np.zeros((4, 5, 3), np.uint8), label_map, "must be uint8"),
        (np.full((4, 5), np.nan), label_map, "must be uint8"),
        (np.zeros((0, 5), np.uint8), label_map[:0], "must be uint8"),
        (np.zeros((4, 5), np.uint8), label_map.astype(float), "must be integer"),
    ],
)
def test_bad_arrays_are_refused(soft, label, words):
    with pytest.raises(UserError, match=words):
        boundary_counts(soft, label)


@pytest.mark.parametrize("max_dist", [-0.1, np.nan, np.inf])
def test_bad_distance_is_refused(max_dist):
    with pytest.raises(UserError, match="max_dist"):
        boundary_counts(np.zeros((4, 5), np.uint8), label_map, max_dist)


def test_no_image_is_refused():
    with pytest.raises(UserError, match="no image"):
        summarise([])
