"""The synthetic rooms: their arrays agree with one another."""

from pathlib import Path

import numpy as np
import pytest

from dmtl.benchmarks.nyud import rooms

SIZE = (96, 128)
CEILING, FLOOR, FURNITURE, OBJECTS, WALL = 2, 4, 5, 6, 11  # as in MTAN's labels


@pytest.fixture(scope="module")
def scenes() -> list[dict[str, np.ndarray]]:
    return [rooms.render_room(np.random.default_rng(k), SIZE) for k in range(32)]


def back_project(depth: np.ndarray) -> np.ndarray:
    """Points (H, W, 3) in the camera's frame, metres, of a z-depth (H, W, 1)."""
    fx, fy, cx, cy = rooms.intrinsics(SIZE)
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(SIZE)], -1) * depth


def neighbours(array: np.ndarray) -> list[np.ndarray]:
    """The inner pixels' left, right, upper and lower neighbours."""
    return [array[1:-1, :-2], array[1:-1, 2:], array[:-2, 1:-1], array[2:, 1:-1]]


def test_arrays_have_the_shapes_and_ranges_of_mtan(scenes: list[dict[str, np.ndarray]]) -> None:
    for scene in scenes:
        assert {name: array.shape for name, array in scene.items()} == {
            "image": (*SIZE, 3),
            "label": SIZE,
            "depth": (*SIZE, 1),
            "normal": (*SIZE, 3),
        }
        assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in scene.values())
        assert scene["image"].min() >= 0
        assert scene["image"].max() <= 1
        assert set(np.unique(scene["label"])) <= set(range(-1, 13))
        valid = scene["depth"] > 0
        assert scene["depth"].min() == 0 or valid.all()
        assert scene["depth"][valid].min() > 0.2
        assert scene["depth"].max() < 10


def test_normals_are_unit_and_face_the_camera_where_depth_is_valid(scenes: list[dict[str, np.ndarray]]) -> None:
    for scene in scenes:
        valid, normal = scene["depth"][..., 0] > 0, scene["normal"]
        assert (normal[~valid] == 0).all()
        np.testing.assert_allclose(np.linalg.norm(normal[valid], axis=-1), 1, atol=1e-4)
        assert (normal * back_project(scene["depth"])).sum(-1).max() < 1e-3


def test_normals_are_the_slope_of_the_depth(scenes: list[dict[str, np.ndarray]]) -> None:
    for scene in scenes:
        points, normal, label = back_project(scene["depth"]), scene["normal"], scene["label"]
        slope = np.cross(points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1])
        slope /= np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-12)
        here, z = normal[1:-1, 1:-1], scene["depth"][..., 0]
        same = scene["depth"][1:-1, 1:-1, 0] > 0
        for n, c, d in zip(neighbours(normal), neighbours(label), neighbours(z), strict=True):
            same &= ((n * here).sum(-1) > 0.999) & (c == label[1:-1, 1:-1]) & (np.abs(d / z[1:-1, 1:-1].clip(1e-6) - 1) < 0.03)
        angle = np.degrees(np.arccos(np.abs((slope * here).sum(-1)[same]).clip(0, 1)))
        assert same.mean() > 0.2
        assert (angle < 2).mean() > 0.9


def test_floor_ceiling_and_walls_lie_as_in_a_room(scenes: list[dict[str, np.ndarray]]) -> None:
    found = 0
    for scene in scenes:
        valid = scene["depth"][..., 0] > 0
        floor, ceiling, wall = (scene["normal"][valid & (scene["label"] == k)] for k in (FLOOR, CEILING, WALL))
        if len(floor) < 100:
            continue
        up = np.median(floor, 0)
        assert up[1] < -0.7
        assert (floor @ up > 0.9999).mean() > 0.98  # the edges of rugs are floor too
        assert (ceiling @ up < -0.9999).all()
        assert (np.abs(wall @ up) < 0.01).mean() > 0.98  # and those of doors wall
        height = -(back_project(scene["depth"])[valid & (scene["label"] == FLOOR)] @ up)
        assert np.percentile(height, 2) > 1.19
        assert np.percentile(height, 98) < 1.71
        assert np.ptp(np.percentile(height, (2, 98))) < 0.01
        found += 1
    assert found > 16


def test_every_class_turns_up_and_some_pixels_are_missing(scenes: list[dict[str, np.ndarray]]) -> None:
    labels = np.stack([scene["label"] for scene in scenes]).astype(int)
    share = np.bincount(labels.ravel() + 1, minlength=14) / labels.size
    assert (share > 0.001).all()
    assert share[1 + WALL] == share.max() < 0.5
    assert min(share[1 + FURNITURE], share[1 + OBJECTS], share[1 + FLOOR]) > 0.04
    assert 0.03 < share[0] < 0.25
    assert 0.003 < np.mean([(s["depth"] == 0).mean() for s in scenes]) < 0.1


def test_the_image_shows_the_geometry(scenes: list[dict[str, np.ndarray]]) -> None:
    contrast = []
    for scene in scenes:
        grey, normal = scene["image"].mean(-1), scene["normal"]
        assert grey.std() > 0.04
        step = np.abs(np.diff(grey, axis=1))
        fold = (normal[:, 1:] * normal[:, :-1]).sum(-1)
        contrast.append(step[np.abs(fold) < 0.5].mean() / step[fold > 0.99].mean())
    assert np.median(contrast) > 2
    assert len({scene["image"].tobytes() for scene in scenes}) == len(scenes)


def test_the_tree_holds_rooms_of_mtans_size(tmp_path: Path) -> None:
    rooms.write_tree(tmp_path, "train", 1, seed=0)
    assert np.load(tmp_path / "train/depth/0.npy").shape == (288, 384, 1)
