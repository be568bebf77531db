"""Files of one's own as labels: values as benchmark.yaml says, and what does not fit in one line that names the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.own_data import SIZE, scene, store
from PIL import Image

from dmtl.benchmarks.folder import own_tasks
from dmtl.benchmarks.folder.labels import read_label, read_photo, regions
from dmtl.config import OwnTask, TaskFiles
from dmtl.errors import UserError

CLASSES = {"sky": "#000000", "road": "#ff0000", "tree": "#00ff00"}
TASKS: dict[str, dict[str, Any]] = {
    "semseg": {"kind": "classes", "classes": CLASSES},
    "saliency": {"kind": "binary"},
    "boundary": {"kind": "boundary"},
    "depth": {"kind": "depth"},
    "normals": {"kind": "normals"},
    "flow": {"kind": "regression", "channels": 2},
    "shading": {"kind": "regression", "channels": 1},
    "albedo": {"kind": "regression", "channels": 3},
}


def _read(folder: Path, task: str, array: np.ndarray, ending: str | None = None, **files: Any) -> np.ndarray:
    path = store(folder, "label", array, ending)
    [one] = own_tasks({task: OwnTask(title=task, **TASKS[task])})
    return read_label(path, one, TaskFiles.model_validate({"folder": task, **files}), array.shape[:2])


def _ints(*values: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.array([values], dtype)


def test_numbers_become_classes(tmp_path: Path) -> None:
    labels = {0: "sky", 7: "road", 300: "tree"}
    stored = _ints(0, 7, 300, 255, dtype=np.uint16)
    assert _read(tmp_path, "semseg", stored, labels=labels, ignore=[255]).tolist() == [[0, 1, 2, 255]]
    assert _read(tmp_path, "semseg", _ints(2, 0, 1)).tolist() == [[2, 0, 1]], "without labels the numbers are the classes"
    floats = np.array([[-1.0, 2.0]], np.float32)
    assert _read(tmp_path, "semseg", floats, ignore=[-1]).tolist() == [[255, 2]]
    assert _read(tmp_path, "semseg", floats[..., None], ignore=[-1]).dtype == np.uint8
    several = {0: "sky", 1: "sky", 2: "road"}
    assert _read(tmp_path, "semseg", _ints(0, 1, 2), labels=several).tolist() == [[0, 0, 1]]


def test_palette_and_one_bit_pictures_hold_their_numbers(tmp_path: Path) -> None:
    picture = Image.fromarray(_ints(0, 1, 2, 2))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "label.png")
    [task] = own_tasks({"semseg": OwnTask(title="", **TASKS["semseg"])})
    assert read_label(tmp_path / "label.png", task, TaskFiles(folder="x"), (1, 4)).tolist() == [[0, 1, 2, 2]]
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "label.png")
    [task] = own_tasks({"saliency": OwnTask(title="", **TASKS["saliency"])})
    assert read_label(tmp_path / "label.png", task, TaskFiles(folder="x"), (1, 2)).tolist() == [[1, 0]]


def test_one_thing_may_be_stored_as_255(tmp_path: Path) -> None:
    assert _read(tmp_path, "saliency", _ints(0, 255, 128), labels={0: 0, 255: 1}, ignore=[128]).tolist() == [[0, 1, 255]]


def test_depth_is_scaled_and_has_gaps(tmp_path: Path) -> None:
    stored = _ints(0, 1500, 65535, 9000, dtype=np.uint16)
    read = _read(tmp_path, "depth", stored, scale=0.001, invalid=[0, 65535], range=[0.1, 8])
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, [[0, 1.5, 0, 0]], rtol=1e-6)
    floats = np.array([[np.nan, np.inf, 2.5]], np.float32)
    assert _read(tmp_path, "depth", floats[..., None]).tolist() == [[0, 0, 2.5]]
    assert _read(tmp_path, "depth", floats, scale=2.0, offset=1.0).tolist() == [[0, 0, 6.0]]


def test_floats_without_a_scale_keep_their_bits(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0.5, 10, SIZE).astype(np.float32)
    assert np.array_equal(_read(tmp_path, "depth", values), values)
    normals = scene(0)["normals"]
    assert np.array_equal(_read(tmp_path, "normals", normals), normals)


def test_normals_in_eight_bits_and_other_axes(tmp_path: Path) -> None:
    codes = np.array([[[255, 128, 128], [128, 128, 128], [0, 127, 127]]], np.uint8)
    read = _read(tmp_path, "normals", codes, signs=[-1, 1, 1])
    np.testing.assert_allclose(np.linalg.norm(read, axis=-1), [[1, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(read[0, :, 0], [-1, 0, 1], atol=1e-4)


def test_a_regression_knows_0_from_none(tmp_path: Path) -> None:
    flow = np.array([[[0.0, 0.0], [1.5, -2.0], [-9.0, 1.0]]], np.float32)
    read = _read(tmp_path, "flow", flow, invalid=[-9.0])
    assert read[0, :2].tolist() == [[0.0, 0.0], [1.5, -2.0]]
    assert np.isnan(read[0, 2]).all()
    grey = _read(tmp_path, "shading", _ints(0, 51, 255), scale=1 / 255)
    np.testing.assert_allclose(grey, [[0, 0.2, 1]], rtol=1e-6)
    assert _read(tmp_path, "albedo", np.full((2, 2, 3), 51, np.uint8), scale=1 / 255).shape == (2, 2, 3)


BAD: list[tuple[str, np.ndarray, dict[str, Any], str]] = [
    ("semseg", _ints(0, 9), {}, "label.png holds 9 (50 % of its pixels), which benchmark.yaml does not tell of: give it a class"),
    ("semseg", _ints(0, 255), {}, "holds 255"),
    ("semseg", _ints(*range(20)), {}, "holds 3, 4, 5, 6, 7, 8, 9, 10 ..."),
    ("semseg", np.array([[0.5]]), {}, "holds values that are no whole numbers"),
    ("semseg", np.array([[np.nan]]), {}, "holds values that are no whole numbers"),
    ("semseg", np.zeros((2, 2, 3), np.uint8), {}, "has shape (2, 2, 3), but one value a pixel is expected"),
    ("saliency", _ints(0, 255), {}, "holds 255"),
    ("depth", _ints(0, 1500, dtype=np.uint16), {}, "holds whole numbers up to 1500: say what one is, 'scale' of depth"),
    ("depth", _ints(0, 1500, dtype=np.uint16), {"scale": 1.0}, "value 1500, but values stay below 255: set a 'scale' of depth"),
    ("depth", np.array([[-1.0]]), {}, "depth -1 is negative"),
    ("depth", np.zeros((2, 2, 3), np.uint8), {"scale": 1.0}, "has shape (2, 2, 3), but one value a pixel is expected"),
    ("normals", np.zeros((2, 2)), {}, "has shape (2, 2), but normals are (height, width, 3)"),
    ("normals", np.full((2, 2, 3), 2.0), {}, "a normal has length 3.46"),
    ("normals", np.full((2, 2, 3), 0.1), {}, "a normal has length 0.173"),
    ("normals", np.zeros((2, 2, 3), np.int32), {}, "normals are stored as 8-bit RGB or as floats, not as int32"),
    ("flow", np.zeros((2, 2, 3)), {}, "has 3 channels, but flow has 2"),
    ("flow", np.full((2, 2, 2), 1000.0), {}, "value 1000, but values stay below 255"),
    ("shading", _ints(1), {}, "holds whole numbers up to 1: say what one is"),
]


@pytest.mark.parametrize(("task", "array", "files", "said"), BAD)
def test_what_does_not_fit_is_one_line(task: str, array: np.ndarray, files: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        _read(tmp_path, task, array, **files)
    assert said in str(raised.value)
    assert str(tmp_path / "label") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_photos_of_every_kind(tmp_path: Path) -> None:
    rgb = scene(3)["image"]
    assert np.array_equal(read_photo(store(tmp_path, "a", rgb)), rgb)
    assert np.array_equal(read_photo(store(tmp_path, "b", rgb, ".npy")), rgb)
    assert np.array_equal(read_photo(store(tmp_path, "c", (rgb / 255).astype(np.float32))), rgb)
    assert read_photo(store(tmp_path, "d", rgb[..., 0])).shape == (*SIZE, 3)
    for bad in (np.full((4, 4, 3), 2.0), np.full((4, 4, 3), np.nan), np.zeros((4, 4)), np.zeros((4, 4, 3), np.int64)):
        with pytest.raises(UserError):
            read_photo(store(tmp_path, "e", bad))


def test_regions_are_parted_by_the_lines() -> None:
    boundary = np.zeros((9, 9), np.uint8)
    boundary[:, 4] = 1
    parts = regions(boundary)
    assert (parts > 0).all()
    assert len(np.unique(parts[:, :4])) == len(np.unique(parts[:, 5:])) == 1
    assert parts[0, 0] != parts[0, 8]
