"""NYUD-v2 at 288x384 in 13 classes (docs/data.md), from either of two layouts:

(a) what MTAN published, `{train,val}/{image,label,depth,normal}/{k}.npy`;
(b) the primary source, `nyu_depth_v2_labeled.mat` and two small files beside it (`mat.py`).

Splits: 795 training and 654 test images, the latter called `val`. Depth in metres, 0 = invalid. Normals: x right, y down, z away
from the camera in the synthetic scenes and from (b), as the publisher's in (a).
"""

from pathlib import Path

import numpy as np

from dmtl.benchmarks.nyud import mat
from dmtl.benchmarks.shared import npy_tree
from dmtl.benchmarks.shared.readers import check_range, load_npy
from dmtl.benchmarks.shared.sample import Sample
from dmtl.tasks import IGNORE

CLASSES = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall", "window",
)  # fmt: skip
SIZE = (288, 384)
ARRAYS = ("image", "label", "depth", "normal")
LONGEST_NORMAL = 1.01  # stored normals are unit vectors to rounding, or zero


def ids(root: Path, split: str) -> list[str]:
    """The images of a split: "0" to "N-1" of an npy tree, else the official frames in order.

    Raises:
        UserError: neither layout is there, or it is not complete.
    """
    if npy_tree.is_there(root) or not mat.is_there(root):
        return npy_tree.numbers(root, split, ARRAYS)
    return mat.frames(root, split)


def files(root: Path, split: str, image_id: str) -> list[str]:
    """The raw files of one image, relative to `root`."""
    return npy_tree.files(split, image_id, ARRAYS) if image_id.isdigit() else list(mat.FILES)


def read(root: Path, split: str, image_id: str) -> Sample:
    """One image with its labels, `(288, 384)`.

    Raises:
        UserError: a file is missing, damaged, of another shape or out of range.
    """
    if not image_id.isdigit():
        return mat.read(root, image_id, SIZE)
    image, label, depth, normal = (root / file for file in files(root, split, image_id))
    labels = {
        "semseg": npy_tree.classes(label, SIZE, len(CLASSES)),
        "depth": npy_tree.depth(depth, SIZE, IGNORE - 1),
        "normals": _normals(normal),
    }
    return Sample(npy_tree.image(image, SIZE), labels)


def _normals(path: Path) -> np.ndarray:
    normals = load_npy(path, (*SIZE, 3))
    check_range(path, normals, -LONGEST_NORMAL, LONGEST_NORMAL, "component of a normal")
    return normals
