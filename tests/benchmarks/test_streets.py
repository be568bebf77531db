"""The synthetic streets: image, classes and disparity agree, and every class turns up."""

import time
from pathlib import Path

import numpy as np
import pytest

from dmtl.benchmarks.cityscapes import streets
from dmtl.benchmarks.cityscapes.streets import FX, FY, LARGEST
from dmtl.benchmarks.cityscapes.traffic import FLAT, HUMAN, NATURE, SKY, UNLABELLED, VEHICLE


@pytest.fixture(scope="module")
def scenes() -> list[dict[str, np.ndarray]]:
    return [streets.render_street(np.random.default_rng(k)) for k in range(16)]


def metres(scene: dict[str, np.ndarray]) -> np.ndarray:
    """Depth (H, W) from the stored disparity, infinite where there is none."""
    pixels = (scene["depth"][..., 0] * 65535 - 1) / 256
    return np.where(pixels > 0, streets.BASELINE_FOCAL / np.maximum(pixels, 1e-6), np.inf)


def test_arrays_have_the_shapes_and_ranges_of_mtan(scenes: list[dict[str, np.ndarray]]) -> None:
    for scene in scenes:
        shapes = {name: array.shape for name, array in scene.items()}
        assert shapes == {"image": (128, 256, 3), "label_7": (128, 256), "depth": (128, 256, 1)}
        assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in scene.values())
        assert scene["image"].min() >= 0
        assert scene["image"].max() <= 1
        assert set(np.unique(scene["label_7"])) <= set(range(-1, 7))
        assert scene["depth"].min() == 0  # invalid
        assert 0.1 < scene["depth"].max() <= (LARGEST * 256 + 1) / 65535 < 0.4923  # the published maximum


def test_disparity_is_a_whole_number_of_the_16_bit_file(scenes: list[dict[str, np.ndarray]]) -> None:
    for scene in scenes:
        stored = scene["depth"] * 65535
        assert np.abs(stored - np.rint(stored)).max() < 1e-2


def test_every_class_turns_up(scenes: list[dict[str, np.ndarray]]) -> None:
    labels = np.stack([scene["label_7"] for scene in scenes]).astype(int)
    share = np.bincount(labels.ravel() + 1, minlength=8) / labels.size
    assert (share > 0.003).all()
    assert share[1 + FLAT] == share.max() < 0.5
    assert min(share[1 + SKY], share[1 + NATURE], share[1 + VEHICLE]) > 0.03
    assert share[1 + UNLABELLED] < 0.2


def test_the_sky_has_no_disparity_and_the_road_lies_below_the_camera(scenes: list[dict[str, np.ndarray]]) -> None:
    v = (np.arange(128)[:, None] - streets.CY) / FY
    for scene in scenes:
        label, depth = scene["label_7"], metres(scene)
        assert (scene["depth"][label == SKY] == 0).all()
        assert (scene["depth"][label != SKY] > 0).mean() > 0.7
        near = (label == FLAT) & (depth < 25)
        height = (v * depth)[near]  # below the camera, but for its small tilt
        assert near.any()
        assert 0.8 < np.median(height) < 1.7
        assert (label[: int(streets.CY) - 20] != FLAT).mean() > 0.999  # none above the horizon


def test_vehicles_and_people_stand_on_the_ground(scenes: list[dict[str, np.ndarray]]) -> None:
    v = (np.arange(128)[:, None] - streets.CY) / FY
    found = 0
    for scene in scenes:
        depth = metres(scene)
        for kind in (VEHICLE, HUMAN):
            seen = (scene["label_7"] == kind) & (depth < 40)
            found += seen.any()
            if seen.any():
                below = (v * depth)[seen]  # metres below the camera, 1.15 to 1.3 m above the road, tilted by up to 3 degrees
                assert below.min() > -5
                assert below.max() < 1.35 + 40 * 0.05
    assert found > 20


def test_objects_stand_out_in_image_and_disparity(scenes: list[dict[str, np.ndarray]]) -> None:
    ratio = []
    for scene in scenes:
        grey, label = scene["image"].mean(-1), scene["label_7"]
        step, border = np.abs(np.diff(grey, axis=1)), np.diff(label, axis=1) != 0
        ratio.append(step[border].mean() / step[~border].mean())
    assert np.median(ratio) > 2
    assert len({scene["image"].tobytes() for scene in scenes}) == len(scenes)


def test_disparity_of_a_depth() -> None:
    depth = np.array([0.0, 1.0, 10.0, 100.0, np.inf])
    stored = streets.disparity(depth)
    assert stored[[0, 1, 4]].tolist() == [0, 0, 0]  # none, nearer than the largest disparity, sky
    assert stored[2] == pytest.approx((0.209313 * FX * 8 / 10 * 256 + 1) / 65535, abs=1e-5)
    assert stored[2] / stored[3] == pytest.approx(10, rel=0.01)


def test_64_scenes_take_less_than_20_seconds_of_one_core(tmp_path: Path) -> None:
    start = time.process_time()
    streets.write_tree(tmp_path, "train", 8, seed=0, workers=1)
    assert (time.process_time() - start) * 64 / 8 < 20
