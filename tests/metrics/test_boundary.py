"""Boundary odsF: against the reference counts, SciPy and scikit-image; its invariants; what it does with bad input."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.project import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import cKDTree
from skimage.morphology import thin

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
from dmtl.metrics.boundary_files import evaluate_folders, write_counts
from dmtl.metrics.boundary_kernels import match_planes, thin_planes
from dmtl.metrics.boundary_maps import plane_totals, suppress, threshold_planes

SHARED = Path(os.environ.get("DMTL_SHARED_DATA", ROOT.parent / "shared" / "data"))
REFERENCE = SHARED / "boundary_reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason=f"no reference counts at {REFERENCE}; set DMTL_SHARED_DATA to the folder that holds them"
)


@pytest.fixture(scope="module")
def reference() -> dict[str, tuple[np.ndarray, np.ndarray, BoundaryCounts]]:
    """Soft map, label map and stored counts of the ten reference images."""
    stems = sorted(path.stem for path in (REFERENCE / "soft").glob("*.png"))
    return {stem: (*_read_pair(stem), _read_counts(REFERENCE / f"{stem}.counts.tsv")) for stem in stems}


def _read_pair(stem: str) -> tuple[np.ndarray, np.ndarray]:
    soft, label = (np.asarray(Image.open(REFERENCE / folder / f"{stem}.png")) for folder in ("soft", "labels"))
    return soft, label


def _read_counts(path: Path) -> BoundaryCounts:
    """What `write_counts` wrote."""
    matched, truth, _, predicted = np.loadtxt(path, np.int64, skiprows=1, usecols=(1, 2, 3, 4)).T
    return BoundaryCounts(matched, predicted, int(truth[0]))


@pytest.fixture(scope="module")
def ours(reference) -> dict[str, BoundaryCounts]:
    return {stem: boundary_counts(soft, label) for stem, (soft, label, _) in reference.items()}


def _random_soft(seed: int, shape: tuple[int, int] = (40, 56), blur: float = 1.5) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), blur)
    return (255 * np.clip(noise / noise.max(), 0, 1)).astype(np.uint8)


def _random_label(seed: int, shape: tuple[int, int] = (40, 56), blur: float = 3) -> np.ndarray:
    return np.digitize(gaussian_filter(np.random.default_rng(seed).normal(size=shape), blur) * blur, (-0.3, 0, 0.3))


def _scipy_matching(predicted: np.ndarray, truth: np.ndarray, radius: float) -> int:
    """Maximum matching of two binary maps by k-d trees and SciPy's exact algorithm."""
    a, b = np.argwhere(predicted), np.argwhere(truth)
    if not len(a) or not len(b):
        return 0
    # The trees hold whole numbers, so half a unit of the squared radius is no tie.
    near = cKDTree(a).sparse_distance_matrix(cKDTree(b), np.sqrt(np.floor(radius**2) + 0.5), output_type="ndarray")
    graph = coo_array((np.ones(len(near), bool), (near["i"], near["j"])), shape=(len(a), len(b))).tocsr()
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


# The reference images


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
            matched = _scipy_matching(thin(strength > THRESHOLDS[k]), truth, 0.0075 * np.hypot(*soft.shape))
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
        write_counts(tmp_path / path.name, _read_counts(path))
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


# Each step against an independent form of it


def test_suppression_against_a_loop_over_pixels():
    soft = _random_soft(0, (23, 31))
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
    soft, label = _random_soft(seed), _random_label(seed)
    counts = boundary_counts(soft, label, max_dist)
    strength, truth = suppress(soft), boundary_from_labels(label)
    assert counts.truth == truth.sum() > 0
    for k in range(0, 101, 3):
        binary = thin(strength > THRESHOLDS[k])
        assert counts.predicted[k] == binary.sum()
        assert counts.matched[k] == _scipy_matching(binary, truth, max_dist * np.hypot(*soft.shape))


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


@given(seed=st.integers(0, 2**32), blur=st.floats(2, 6))
@settings(max_examples=25, deadline=None)
def test_inner_boundaries_find_themselves_exactly(seed, blur):
    label = _random_label(seed, (60, 80), blur)
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
    label = _random_label(0)
    counts = boundary_counts(np.zeros(label.shape, np.uint8), label)
    assert counts.truth > 0
    assert not counts.matched.any()
    assert not counts.predicted.any()
    assert summarise([counts]) == {"ods": 0, "ois": 0, "ap": 0, "threshold": 0.001}


def test_empty_ground_truth_scores_zero_and_still_costs_precision():
    soft, label = _random_soft(0), _random_label(0)
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


# Folders


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Three synthetic images: boundary maps and label maps (8-bit, 16-bit and palette)."""
    soft_dir, label_dir = tmp_path / "soft", tmp_path / "label"
    soft_dir.mkdir()
    label_dir.mkdir()
    for i, kind in enumerate((np.uint8, np.uint16, None)):
        Image.fromarray(_random_soft(i)).save(soft_dir / f"{i}.png")
        image = Image.fromarray(_random_label(i).astype(kind or np.uint8))
        if kind is None:
            image.putpalette([value for gray in range(256) for value in (gray, 0, 255 - gray)])
        image.save(label_dir / f"{i}.png")
    return soft_dir, label_dir


def test_folders_equal_arrays_and_write_counts(folders, tmp_path):
    counts_dir = tmp_path / "new" / "counts"
    result = evaluate_folders(*folders, counts_dir=counts_dir, max_dist=0.02)
    arrays = [boundary_counts(_random_soft(i), _random_label(i), 0.02) for i in range(3)]
    assert result == {**summarise(arrays), "images": 3}
    assert sorted(path.name for path in counts_dir.iterdir()) == [f"{i}.counts.tsv" for i in range(3)]
    assert summarise(_read_counts(path) for path in counts_dir.iterdir()) == summarise(arrays)


def test_two_processes_equal_one(folders):
    assert evaluate_folders(*folders, workers=2) == evaluate_folders(*folders)


def _remove(path: Path) -> None:
    path.unlink()


def _save(array: np.ndarray):
    return lambda path: Image.fromarray(array).save(path)


@pytest.mark.parametrize(
    ("folder", "change", "words"),
    [
        (0, _remove, "soft lacks 1.png"),
        (1, _remove, "label lacks 1.png"),
        (0, _save(np.zeros((40, 56), np.uint16)), "1.png has image mode I;16"),
        (0, _save(np.zeros((40, 56, 3), np.uint8)), "1.png has image mode RGB"),
        (1, _save(np.zeros((40, 56, 3), np.uint8)), "1.png has image mode RGB"),
        (0, _save(np.zeros((56, 40), np.uint8)), r"1.png: the boundary map has shape \(56, 40\)"),
        (0, lambda path: path.write_bytes(b"no image"), "1.png cannot be read"),
        (0, lambda path: path.write_bytes(path.read_bytes()[:200]), "1.png cannot be read"),
    ],
)
def test_bad_files_are_named_in_one_line(folders, folder, change, words):
    change(folders[folder] / "1.png")
    with pytest.raises(UserError, match=words) as error:
        evaluate_folders(*folders)
    assert "\n" not in str(error.value)


def test_bad_folders_are_refused(folders, tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        evaluate_folders(tmp_path / "missing", folders[1])
    with pytest.raises(UserError, match="workers is 0"):
        evaluate_folders(*folders, workers=0)
    with pytest.raises(UserError, match="cannot make the folder"):
        evaluate_folders(*folders, counts_dir=folders[0] / "0.png")
    for folder in folders:
        shutil.rmtree(folder)
        folder.mkdir()
    with pytest.raises(UserError, match=r"holds no \.png file"):
        evaluate_folders(*folders)


def test_an_error_in_a_worker_reaches_the_caller(folders):
    for folder in folders:
        _remove(folder / "0.png")
        _remove(folder / "1.png")
    _save(np.zeros((40, 56), np.uint16))(folders[0] / "2.png")
    with pytest.raises(UserError, match=r"2\.png has image mode I;16"):
        evaluate_folders(*folders, workers=2)
