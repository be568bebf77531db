"""Bad files of PASCAL: each is told in one line and leaves no shard."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from helpers.pascal import SIZE, annotation, put, thing
from helpers.raw import assert_refused
from PIL import Image

from dmtl.errors import UserError
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards


def _truncated(name: str, size: int) -> Any:
    return lambda tree: os.truncate(tree / name, size)


def _saved(name: str, pixels: np.ndarray, mode: str | None = None) -> Any:
    def save(tree: Path) -> None:
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(tree / name)

    return save


def _matlab(name: str, variables: dict[str, Any]) -> Any:
    return lambda tree: scipy.io.savemat(tree / name, variables)


def _new_matlab(tree: Path) -> None:
    """A file with the header of version 7.3, as MATLAB writes it before the HDF5 part."""
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tree / "pascal-context/trainval/2008_1.mat").write_bytes(head + bytes(400))


def _listed(text: str) -> Any:
    return lambda tree: (tree / "ImageSets/Context/train.txt").write_text(text)


def _map(value: float) -> np.ndarray:
    label_map = np.full(SIZE, 440.0)
    label_map[3, 4] = value
    return label_map


GREY = np.full(SIZE, 9, np.uint8)
MAT, PHOTO, SEMSEG, PARTS = (
    "pascal-context/trainval/2008_1.mat",
    "JPEGImages/2008_1.jpg",
    "semseg/pascal-context/2008_1.png",
    "human_parts/2008_1.mat",
)
ODD_PART = annotation(thing(15, GREY, {"tail": GREY}))
BAD = [
    (lambda tree: (tree / PHOTO).unlink(), r"2008_1\.jpg is missing: complete the folder"),
    (lambda tree: (tree / PARTS).unlink(), r"human_parts/2008_1\.mat is missing"),
    (lambda tree: (tree / SEMSEG).unlink(), r"semseg/pascal-context/2008_1\.png is missing"),
    (lambda tree: shutil.rmtree(tree / "ImageSets"), "holds no ImageSets/Context, nor do PASCALContext and PASCAL_MT below it"),
    (lambda tree: (tree / "ImageSets/Context/val.txt").unlink(), r"val\.txt is missing"),
    (_listed(""), r"train\.txt lists no image"),
    (_listed("2008_1\n2008_2\n2008_1\n"), r"train\.txt lists 2008_1 2 times"),
    (_listed("2008_1\n../../etc/passwd\n"), r"lists '\.\./\.\./etc/passwd', which is no image's name"),
    (_truncated(PHOTO, 400), r"2008_1\.jpg is truncated or no image"),
    (_truncated(PHOTO, 0), r"2008_1\.jpg is truncated or no image"),
    (_truncated(SEMSEG, 50), r"2008_1\.png is truncated or no image"),
    (_saved(PHOTO, np.zeros((*SIZE, 3), np.uint8), "CMYK"), r"2008_1\.jpg is an image of mode CMYK, but RGB or L is expected"),
    (_saved(PHOTO, np.zeros((40, 30, 3), np.uint8)), r"2008_1\.mat is 30x40, but its photo 40x30: one of them was turned"),
    (_saved(SEMSEG, np.full(SIZE, 21, np.uint8)), r"2008_1\.png: class 21 at \(0, 0\) is outside 0\.\.20"),
    (_saved(SEMSEG, np.zeros((*SIZE, 3), np.uint8)), r"2008_1\.png is an image of mode RGB, but P or L is expected"),
    (_saved("sal_distill/2008_1.png", GREY, "RGB"), r"sal_distill/2008_1\.png is an image of mode RGB, but L is expected"),
    (_saved("normals_distill/2008_1.png", GREY, "RGBA"), r"normals_distill/2008_1\.png is an image of mode RGBA"),
    (_truncated(MAT, 300), r"2008_1\.mat is truncated or no MATLAB file"),
    (_truncated(MAT, 10), r"2008_1\.mat is truncated or no MATLAB file"),
    (_new_matlab, r"2008_1\.mat is a MATLAB file of version 7\.3, but those published are of version 5"),
    (_matlab(MAT, {"Labels": GREY}), r"2008_1\.mat holds no variable 'LabelMap'"),
    (_matlab(MAT, {"LabelMap": _map(460)}), r"2008_1\.mat: class 460 at \(3, 4\) is outside 0\.\.459"),
    (_matlab(MAT, {"LabelMap": _map(-1)}), r"2008_1\.mat: class -1 at \(3, 4\)"),
    (_matlab(MAT, {"LabelMap": _map(2.5)}), r"2008_1\.mat: LabelMap is no table of class numbers"),
    (_matlab(MAT, {"LabelMap": _map(np.nan)}), r"2008_1\.mat: LabelMap is no table of class numbers"),
    (_matlab(MAT, {"LabelMap": "words"}), r"2008_1\.mat: LabelMap is no table of class numbers"),
    (_matlab(PARTS, {"LabelMap": GREY}), r"human_parts/2008_1\.mat holds no variable 'anno'"),
    (_matlab(PARTS, {"anno": GREY}), r"human_parts/2008_1\.mat: anno is not as PASCAL-Part publishes it"),
    (_matlab(PARTS, ODD_PART), r"human_parts/2008_1\.mat: a person has the part 'tail', which PASCAL-Part has not"),
]


@pytest.mark.parametrize(("damage", "message"), BAD)
def test_bad_files_are_named_and_leave_no_shard(pascal_raw: Raw, pascal_tree: Path, damage: Any, message: str) -> None:
    damage(pascal_tree)
    assert_refused(pascal_raw, message)


def test_a_file_that_changed_since_it_was_listed_is_refused(pascal_raw: Raw, pascal_tree: Path) -> None:
    pascal_raw.write_manifest()
    put(pascal_tree, "2009_2", (31, 41))
    with pytest.raises(UserError, match=r"2009_2\.jpg has changed since it was listed: run 'dvc repro -f download@pascal'"):
        build_shards(pascal_raw)
