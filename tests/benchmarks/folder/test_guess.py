"""What kind of task a folder of labels is taken for."""

import numpy as np
import pytest
from helpers.own_data import scene

from dmtl.benchmarks.folder.guess import guess
from dmtl.init.look import Label


def _label(array: np.ndarray) -> Label:
    channels = array.shape[2] if array.ndim == 3 else 1
    whole = array.dtype.kind != "f"
    numbers, counts = np.unique(array, return_counts=True)
    few = whole and channels == 1 and len(numbers) <= 256
    bits = 8 * array.dtype.itemsize if whole else None
    values = array.reshape(-1, channels).astype(np.float32)
    return Label(
        array.shape[:2], channels, whole, bits, dict(zip(numbers.tolist(), counts.tolist(), strict=True)) if few else None, values
    )


@pytest.mark.parametrize(
    ("folder", "array", "kind"),
    [
        ("anything", np.array([[0, 3, 255]], np.uint8), "classes"),
        ("anything", np.array([[0, 255]], np.uint8), "binary"),
        ("edges", np.array([[0, 1]], np.uint8), "boundary"),
        ("boundary", np.array([[0, 255]], np.uint8), "boundary"),
        ("semseg", np.array([[0, 1]], np.uint8), "classes"),
        ("my_depth", np.array([[0, 3]], np.uint8), "depth"),
        ("disparity", np.random.default_rng(0).random((20, 20)), "depth"),
        ("shading", np.random.default_rng(0).random((20, 20)), "regression"),
        ("anything", scene(0)["normals"], "normals"),
        ("anything", np.rint(127.5 * (scene(0)["normals"] + 1)).astype(np.uint8), "normals"),
        ("albedo", np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8), "regression"),
        ("flow", scene(0)["flow"], "regression"),
    ],
)
def test_the_kind_is_guessed_from_what_is_there(folder: str, array: np.ndarray, kind: str) -> None:
    task, _, _ = guess(folder, [_label(array)])
    assert task["kind"] == kind


def test_depth_that_is_not_plausible_is_told_with_its_percentiles() -> None:
    metres_as_kilometres = np.full((20, 20), 0.002)
    _, _, notes = guess("depth", [_label(metres_as_kilometres)])
    assert notes == ["depth: depth of 0.002 (5 %), 0.002 (median), 0.002 m (95 %) is not plausible: is 'scale' right?"]
    _, files, notes = guess("depth", [_label(np.full((20, 20), 1500, np.uint16))])
    assert files["scale"] == 0.001
    assert "taken for millimetres" in notes[0]
