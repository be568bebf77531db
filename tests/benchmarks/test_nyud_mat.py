"""The primary source of NYUD-v2: a small file with the variables of the official one goes through like the npy tree."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
import scipy.io
from helpers.raw import assert_refused, build, local_raw
from PIL import Image

from dmtl.benchmarks.nyud import files as nyud
from dmtl.benchmarks.nyud import mat as nyud_mat
from dmtl.benchmarks.nyud.mat import COLUMNS, LABELED, ROWS, cropped_intrinsics, normals_from_depth
from dmtl.data.shards import Shard
from dmtl.prepare.obtain import Raw

TRAIN, TEST = (2, 3, 5), (1, 4)  # the official numbers, in the small file's split


def spread(frame: np.ndarray) -> np.ndarray:
    """A frame (288, 384, ...) as the part of a 480x640 one that is cropped out, by repeating pixels; 0 around it."""
    rows, columns = (
        (np.arange(s.stop - s.start) * 2 + 1) * n // (2 * (s.stop - s.start)) for s, n in ((ROWS, 288), (COLUMNS, 384))
    )
    whole = np.zeros((480, 640, *frame.shape[2:]), frame.dtype)
    whole[ROWS, COLUMNS] = frame[rows[:, None], columns]
    return whole


def class_of_894() -> np.ndarray:
    """`mapClass` (1, 894) of the small file: all 40 turn up."""
    return (np.arange(894) % 40 + 1)[None].astype(np.uint8)


def id_of_13() -> np.ndarray:
    """One of the 894 ids for each of the 13 classes (0 = unlabelled, 1 to 13)."""
    thirteen = np.array(nyud_mat.THIRTEEN)[class_of_894()[0] - 1]
    return np.array([0, *(1 + np.flatnonzero(thirteen == k)[-1] for k in range(1, 14))])


def write_mat(folder: Path, frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Path:
    """Frames (image, label of 13, metres) at 288x384 as the three files that a user has; MATLAB reverses the axes."""
    folder.mkdir(exist_ok=True)
    images, labels, depths = (np.stack([spread(array) for array in arrays]) for arrays in zip(*frames, strict=True))
    with h5py.File(folder / LABELED, "w") as file:
        file["images"] = images.transpose(0, 3, 2, 1)
        file["labels"] = id_of_13()[labels].astype(np.uint16).transpose(0, 2, 1)
        file["depths"] = depths.astype(np.float32).transpose(0, 2, 1)
    trains, tests = (np.array(numbers, np.uint16)[:, None] for numbers in (TRAIN, TEST))
    scipy.io.savemat(folder / "splits.mat", {"trainNdxs": trains, "testNdxs": tests})
    scipy.io.savemat(folder / "classMapping40.mat", {"mapClass": class_of_894()})
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five made-up frames: planes of different slope."""
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:288, :384]
    frames = [
        (
            rng.integers(0, 256, (288, 384, 3), np.uint8),
            ((u // 30 + v // 30) % 14).astype(int),
            (1.5 + 0.004 * k * u + 0.002 * v).astype(np.float32),
        )
        for k in range(5)
    ]
    return write_mat(tmp_path_factory.mktemp("mat"), frames)


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    shutil.copytree(small, tmp_path / "NYU é v2")
    return tmp_path / "NYU é v2"


@pytest.fixture(scope="session")
def tool(shared_data: Path) -> ModuleType:
    """The script that makes an MTAN tree of the shared frames: an implementation of its own."""
    path = shared_data.parent / "tools" / "nyud_to_mtan.py"
    if not path.is_file():
        pytest.skip(f"no {path}")
    spec = importlib.util.spec_from_file_location("nyud_to_mtan", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between unit vectors, where both are valid."""
    valid = (np.linalg.norm(a, axis=-1) > 0.5) & (np.linalg.norm(b, axis=-1) > 0.5)
    return np.degrees(np.arccos((a * b).sum(-1)[valid].clip(-1, 1)))


def test_real_frames_go_through_both_readers_with_the_same_result(shared_data: Path, real_nyud: Path, tmp_path: Path) -> None:
    source = shared_data / "nyud" / "train"
    names = sorted(path.stem for path in (source / "image").glob("*.jpg"))[:4]
    frames = [
        (
            np.asarray(Image.open(source / "image" / f"{name}.jpg")),
            np.asarray(Image.open(source / "label13" / f"{name}.png")).astype(int),
            np.asarray(Image.open(source / "depth_mm" / f"{name}.png")).astype(np.float32) / 1000,
        )
        for name in names
    ]
    root = write_mat(tmp_path / "mat", [*frames[:1], *frames[:2], *frames[2:]])
    assert nyud.ids(root, "train") == ["nyu0002", "nyu0003", "nyu0005"]
    for frame, k in (("nyu0002", "0"), ("nyu0003", "1"), ("nyu0005", "3")):
        ours, npy = nyud.read(root, "train", frame), nyud.read(real_nyud, "train", k)
        assert list(ours.labels) == list(npy.labels)
        assert np.array_equal(ours.labels["semseg"], npy.labels["semseg"])
        assert np.array_equal(ours.labels["depth"], npy.labels["depth"])
        difference = np.abs(ours.image.astype(int) - npy.image)  # repeated pixels are averaged at their borders
        assert np.median(difference) <= 1
        assert difference.mean() < 4
        assert np.median(angles(ours.labels["normals"], npy.labels["normals"])) < 8  # another focal length: the frame was cropped


def test_normals_are_those_of_the_tool(shared_data: Path, tool: ModuleType) -> None:
    for path in sorted((shared_data / "nyud" / "train" / "depth_mm").glob("*.png"))[:3]:
        depth = np.asarray(Image.open(path)).astype(np.float32) / 1000
        ours = normals_from_depth(depth, (tool.FX, tool.FY, tool.CX, tool.CY))
        assert np.percentile(angles(ours, tool.normals_from_depth(depth)), 99.9) < 0.1


def test_normals_of_a_plane() -> None:
    fx, fy, cx, cy = intrinsics = cropped_intrinsics((288, 384))
    normal = np.array([0.3, -0.5, -0.8])
    normal /= np.linalg.norm(normal)
    v, u = np.mgrid[:288, :384]
    ray = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(u.shape)], -1)
    depth = -2 / (ray @ normal)
    assert (depth > 0).all()
    found = normals_from_depth(depth.astype(np.float32), intrinsics)[20:-20, 20:-20]
    assert angles(found, np.broadcast_to(normal, found.shape)).max() < 0.5


def test_invalid_depth_has_no_normal_and_does_not_bend_those_around_it() -> None:
    depth = np.full((60, 80), 2.0, np.float32)
    depth[20:30, 30:50] = 0
    normals = normals_from_depth(depth, (100, 100, 40, 30))
    assert (normals[20:30, 30:50] == 0).all()
    assert np.allclose(normals[depth > 0], [0, 0, -1], atol=1e-6)


def test_the_crop_shifts_the_principal_point() -> None:
    fx, fy, cx, cy = cropped_intrinsics((427, 561))
    assert (fx, fy) == pytest.approx(nyud_mat.INTRINSICS[:2])
    assert (cx, cy) == pytest.approx((325.5824 - 40, 253.7362 - 44))


def test_classes_follow_the_published_table(small: Path) -> None:
    lookup = nyud_mat._thirteen(small)
    assert lookup[0] == 255
    assert [nyud.CLASSES[lookup[k]] for k in (1, 2, 3, 4, 5, 6, 40)] == [
        "wall",
        "floor",
        "furniture",
        "bed",
        "chair",
        "sofa",
        "objects",
    ]
    assert set(lookup[1:]) == set(range(13))


def test_the_split_is_the_official_one(small: Path) -> None:
    assert nyud.ids(small, "train") == ["nyu0002", "nyu0003", "nyu0005"]
    assert nyud.ids(small, "val") == ["nyu0001", "nyu0004"]


def raw_of(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Raw:
    masks = "0\t100\n1\t001\n2\t010\n"
    return local_raw("nyud", root, folder, monkeypatch, (36, 48), onelabel=masks, randomlabels=masks)


def test_shards_are_built_and_nothing_is_changed(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in copy.iterdir()}
    raw = raw_of(copy, tmp_path, monkeypatch)
    build(raw)
    shard = Shard(raw.paths.shard("nyud", "train"))
    assert shard.ids == ["nyu0002", "nyu0003", "nyu0005"]
    assert shard.label_mask("onelabel").tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]  # by the place in the split
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in copy.iterdir()} == before


def _variable(name: str, change: Callable[[np.ndarray], np.ndarray] | None) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        with h5py.File(root / LABELED, "a") as file:
            array = file[name][:]
            del file[name]
            if change:
                file[name] = change(array)

    return apply


def _at(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[:, 300, 200] = value
        return array

    return change


def _mat(name: str, variables: dict[str, object]) -> Callable[[Path], None]:
    return lambda root: scipy.io.savemat(root / name, variables)


def _version_7_3(root: Path) -> None:
    (root / "splits.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM" + bytes(400))


BAD = [
    (lambda root: (root / "splits.mat").unlink(), r"splits\.mat is missing: take it from ankurhanda"),
    (lambda root: (root / "classMapping40.mat").unlink(), r"classMapping40\.mat is missing"),
    (_variable("labels", None), r"labeled\.mat has no variable 'labels'"),
    (lambda root: os.truncate(root / LABELED, 40_000), r"labeled\.mat is truncated or no MATLAB v7\.3 file"),
    (_mat(LABELED, {"images": np.ones(3)}), r"labeled\.mat is truncated or no MATLAB v7\.3 file"),
    (_version_7_3, r"splits\.mat is a MATLAB file of version 7\.3, but those published are of version 5"),
    (lambda root: os.truncate(root / "splits.mat", 200), r"splits\.mat is truncated or no MATLAB file"),
    (_mat("splits.mat", {"trainNdxs": np.array([1, 2])}), r"splits\.mat holds no variable 'testNdxs'"),
    (_mat("splits.mat", {"trainNdxs": np.array([1, 2]), "testNdxs": np.array([2])}), r"splits\.mat names a frame twice"),
    (_mat("splits.mat", {"trainNdxs": np.array([1, 6]), "testNdxs": np.array([2])}), r"or one outside 1 to 5"),
    (_mat("classMapping40.mat", {"mapClass": np.full(894, 41)}), r"mapClass must give 894 classes one of 1 to 40"),
    (_mat("classMapping40.mat", {"mapClass": np.ones(40)}), r"mapClass must give 894 classes"),
    (_variable("labels", lambda a: np.where(a > 0, 895, a)), r"class 895 in frame \d is outside 0 to 894"),
    (_variable("depths", _at(np.nan)), r"the depth of frame \d holds NaN or infinity"),
    (_variable("depths", _at(-1)), r"labeled\.mat: depth -1 at \(\d+, \d+\) is outside 0"),
    (_variable("images", lambda a: a[:, :, :320]), r"frame \d is not of 480x640 pixels"),
]


@pytest.mark.parametrize(("damage", "message"), BAD)
def test_bad_files_are_named_in_one_line(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], message: str
) -> None:
    damage(copy)
    assert_refused(raw_of(copy, tmp_path, monkeypatch), message)
