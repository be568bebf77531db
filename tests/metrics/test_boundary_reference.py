"""Boundary odsF of the reference images: counts, matches and files as the public tools make them."""

import time

import numpy as np
import pytest
from helpers.boundaries import REFERENCE, needs_reference, read_counts, scipy_matching
from PIL import Image
from skimage.morphology import thin

from dmtl.metrics.boundary import (
    THRESHOLDS,
    BoundaryCounts,
    boundary_counts,
    boundary_from_labels,
    summarise,
)
from dmtl.metrics.boundary_files import write_counts
from dmtl.metrics.boundary_kernels import match_planes, thin_planes
from dmtl.metrics.boundary_maps import plane_totals, suppress, threshold_planes


@pytest.fixture(scope="module")
def reference() -> dict[str, tuple[np.ndarray, np.ndarray, BoundaryCounts]]:
    """Soft map, label map and stored counts of the ten reference images."""
    stems = sorted(path.stem for path in (REFERENCE / "soft").glob("*.png"))
    return {stem: (*_read_pair(stem), read_counts(REFERENCE / f"{stem}.counts.tsv")) for stem in stems}


def _read_pair(stem: str) -> tuple[np.ndarray, np.ndarray]:
    soft, label = (np.asarray(Image.open(REFERENCE / folder / f"{stem}.png")) for folder in ("soft", "labels"))
    return soft, label


@pytest.fixture(scope="module")
def ours(reference) -> dict[str, BoundaryCounts]:
    return {stem: boundary_counts(soft, label) for stem, (soft, label, _) in reference.items()}


@needs_reference
def test_ten_reference_images_at_all_thresholds(reference, ours):
    assert len(reference) == 10
    for stem, (_, _, stored) in reference.items():
        assert ours[stem].truth == stored.truth, stem
        np.testing.assert_array_equal(ours[stem].predicted, stored.predicted, err_msg=stem)
        gain = ours[stem].matched - stored.matched
        assert gain.min() >= 0, stem
        assert np.all(gain <= np.maximum(10, 0.01 * stored.matched)), stem
    score, stored_score = summarise(ours.values()), summarise(counts for _, _, counts in reference.values())
    assert score["ods"] == pytest.approx(stored_score["ods"], abs=0.05)
    assert score["threshold"] == stored_score["threshold"]


@needs_reference
def test_reference_images_take_at_most_half_a_second(reference, ours):
    start = time.process_time()
    for soft, label, _ in reference.values():
        boundary_counts(soft, label)
    assert (time.process_time() - start) / len(reference) <= 0.5


@needs_reference
def test_matches_equal_scipys_on_the_reference_images(reference, ours):
    """At 13 thresholds; of image 100007 only at the 8 upper ones, the others take SciPy's algorithm seconds each."""
    for stem, (soft, label, _) in reference.items():
        strength, truth = suppress(soft), boundary_from_labels(label)
        for k in range(44 if stem == "100007" else 4, 101, 8):
            matched = scipy_matching(thin(strength > THRESHOLDS[k]), truth, 0.0075 * np.hypot(*soft.shape))
            assert matched == ours[stem].matched[k], (stem, THRESHOLDS[k])


@needs_reference
def test_reference_labels_against_their_own_boundaries(reference):
    for stem, (_, label, _) in reference.items():
        own = boundary_counts(255 * boundary_from_labels(label).astype(np.uint8), label)
        assert summarise([own])["ods"] >= 99.5, stem


@pytest.mark.long
@needs_reference
def test_mirrored_reference_images_differ_by_ties_only(reference):
    """The suppression mirrors exactly; thinning, which has a direction, keeps the other row of lines two pixels wide."""
    truths = [boundary_from_labels(label) for _, label, _ in reference.values()]
    softs = [soft for soft, _, _ in reference.values()]
    plain = sum(_count(soft, truth) for soft, truth in zip(softs, truths, strict=True))
    for axis in (0, 1):
        for soft in softs:
            np.testing.assert_array_equal(np.flip(suppress(np.flip(soft, axis)), axis), suppress(soft))
        flipped = sum(_count(np.flip(soft, axis), np.flip(truth, axis)) for soft, truth in zip(softs, truths, strict=True))
        assert np.all(abs(flipped - plain) <= np.maximum(10, 0.01 * plain))


def _count(soft: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Matched and predicted pixels (2, 101) against given boundary pixels."""
    radius = 0.0075 * np.hypot(*soft.shape)
    planes = threshold_planes(suppress(soft), int(radius) + 1)
    thin_planes(planes)
    return np.array([match_planes(planes, np.pad(truth, int(radius) + 1), radius, 101), plane_totals(planes)])


@needs_reference
def test_counts_files_have_the_reference_bytes(tmp_path):
    for path in REFERENCE.glob("*.counts.tsv"):
        write_counts(tmp_path / path.name, read_counts(path))
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
