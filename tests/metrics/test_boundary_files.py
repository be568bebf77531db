"""Boundary odsF of two folders of images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.boundaries import random_label, random_soft, read_counts
from PIL import Image

from dmtl.errors import UserError
from dmtl.metrics.boundary import (
    boundary_counts,
    summarise,
)
from dmtl.metrics.boundary_files import evaluate_folders


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Three synthetic images: boundary maps and label maps (8-bit, 16-bit and palette)."""
    soft_dir, label_dir = tmp_path / "soft", tmp_path / "label"
    soft_dir.mkdir()
    label_dir.mkdir()
    for i, kind in enumerate((np.uint8, np.uint16, None)):
        Image.fromarray(random_soft(i)).save(soft_dir / f"{i}.png")
        image = Image.fromarray(random_label(i).astype(kind or np.uint8))
        if kind is None:
            image.putpalette([value for gray in range(256) for value in (gray, 0, 255 - gray)])
        image.save(label_dir / f"{i}.png")
    return soft_dir, label_dir


def test_folders_equal_arrays_and_write_counts(folders, tmp_path):
    counts_dir = tmp_path / "new" / "counts"
    result = evaluate_folders(*folders, counts_dir=counts_dir, max_dist=0.02)
    arrays = [boundary_counts(random_soft(i), random_label(i), 0.02) for i in range(3)]
    assert result == {**summarise(arrays), "images": 3}
    assert sorted(path.name for path in counts_dir.iterdir()) == [f"{i}.counts.tsv" for i in range(3)]
    assert summarise(read_counts(path) for path in counts_dir.iterdir()) == summarise(arrays)


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
