"""NYUD-v2 as MTAN published it: 288x384, 13 classes, `{train,val}/{image,label,depth,normal}/{k}.npy` (datasets-and-metrics 1.2).

Splits: 795 training and 654 test images, the latter called `val`. Depth in metres. Normals: x right, y down, z away from the
camera in the synthetic scenes, as the publisher's in a local tree.
"""

from pathlib import Path

import numpy as np

from dmtl.benchmarks import rooms
from dmtl.benchmarks.sample import Fit, Sample
from dmtl.benchmarks.sources import check_range, load_npy
from dmtl.errors import UserError
from dmtl.tasks import IGNORE

TASKS = {"semseg": 13, "depth": 1, "normals": 3}  # task -> output channels, in the order of XTC's label masks
CLASSES = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall", "window",
)  # fmt: skip
SIZE = (288, 384)
FIT: Fit = "resize"
ARRAYS = ("image", "label", "depth", "normal")
SCENES = rooms  # what draws the synthetic ones
LONGEST_NORMAL = 1.01  # stored normals are unit vectors to rounding, or zero


def synthesise(folder: Path, split: str, count: int, seed: int) -> None:
    """Render `count` rooms as that split of an MTAN tree; what is there already stays."""
    rooms.write_tree(folder, split, count, seed)


def ids(root: Path, split: str) -> list[str]:
    """The images of a split, "0" to "N-1".

    Raises:
        UserError: the folder is empty or a number is missing.
    """
    folder = root / split / "image"
    numbers = sorted(int(path.stem) for path in folder.glob("*.npy") if path.stem.isdigit())
    if not numbers:
        raise UserError(f"{folder} holds no k.npy: expected the MTAN tree {{train,val}}/{{image,label,depth,normal}}/k.npy")
    missing = sorted(set(range(len(numbers))) - set(numbers))
    if missing:
        raise UserError(f"{folder / f'{missing[0]}.npy'} is missing: complete the folder, or take the files anew")
    return [str(number) for number in numbers]


def files(split: str, image_id: str) -> list[str]:
    """The raw files of one image, relative to the tree's root."""
    return [f"{split}/{array}/{image_id}.npy" for array in ARRAYS]


def read(root: Path, split: str, image_id: str) -> Sample:
    """One image with its labels, `(288, 384)`.

    Raises:
        UserError: a file is missing, damaged, of another shape or out of range.
    """
    image, label, depth, normal = (root / file for file in files(split, image_id))
    return Sample(_image(image), {"semseg": _semseg(label), "depth": _depth(depth), "normals": _normals(normal)})


def _image(path: Path) -> np.ndarray:
    image = load_npy(path, (*SIZE, 3))
    check_range(path, image, 0, 1, "brightness")
    return np.round(image * 255).astype(np.uint8)


def _semseg(path: Path) -> np.ndarray:
    label = load_npy(path, SIZE)
    check_range(path, label, -1, len(CLASSES) - 1, "class")
    if (label != np.round(label)).any():
        raise UserError(f"{path}: class {label[label != np.round(label)][0]:g} is no whole number; take the file anew")
    return np.where(label < 0, IGNORE, label).astype(np.uint8)


def _depth(path: Path) -> np.ndarray:
    depth = load_npy(path, (*SIZE, 1))[..., 0]
    check_range(path, depth, 0, IGNORE - 1, "depth")
    return depth


def _normals(path: Path) -> np.ndarray:
    normals = load_npy(path, (*SIZE, 3))
    check_range(path, normals, -LONGEST_NORMAL, LONGEST_NORMAL, "component of a normal")
    return normals
