"""Cityscapes at 128x256 in 7 classes with disparity as depth (docs/data.md), from either of two layouts:

(a) what MTAN published, `{train,val}/{image,label_7,depth}/{k}.npy`; its larger variant, 256x512, is refused;
(b) the primary source, `{leftImg8bit,gtFine,disparity}/{train,val}/<city>/<city>_<sequence>_<frame>_<what>.png`.

Splits: 2975 training and 500 test images, the latter called `val`. Depth is inverse: disparity / 65535 as stored, 0 = invalid.

MTAN's own pre-processing is lost, so (b) differs from (a) in what cannot be known: the interpolation (here photos are averaged,
labels and disparity taken from the pixel at the centre), whether the rare classes without a trainId (parking, guard rail, caravan
and such) belong to their category, as here, or to void, and which frame has which number k. Here k follows the sorted names, city
by city; XTC's label masks go by k, so with (b) they show as many labels of each task, but maybe of other images.
"""

from pathlib import Path

import numpy as np

from dmtl.benchmarks.shared import npy_tree
from dmtl.benchmarks.shared.readers import load_pixels
from dmtl.benchmarks.shared.sample import Sample, resized_photo
from dmtl.errors import UserError
from dmtl.tasks import IGNORE
from dmtl.tasks.shared.arrays import nearest_pixels

CLASSES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
SIZE = (128, 256)
ARRAYS = ("image", "label_7", "depth")
PARTS = {"leftImg8bit": "leftImg8bit", "gtFine": "gtFine_labelIds", "disparity": "disparity"}  # folder -> end of its files' names
# The category of each labelId 0 to 33, in the order of CLASSES.
CATEGORY = np.array([*[IGNORE] * 7, *[0] * 4, *[1] * 6, *[2] * 4, *[3] * 2, 4, *[5] * 2, *[6] * 8], np.uint8)
LARGEST = 1.0  # of a 16-bit disparity / 65535; the published ones end at 0.4922


def ids(root: Path, split: str) -> list[str]:
    """The images of a split: "0" to "N-1" of an npy tree, else the frames' names in sorted order.

    Raises:
        UserError: neither layout is there, or it is not complete.
    """
    if npy_tree.is_there(root):
        return npy_tree.numbers(root, split, ARRAYS)
    folder = root / "leftImg8bit" / split
    end = "_leftImg8bit.png"
    names = sorted(path.name.removesuffix(end) for path in folder.glob(f"*/*{end}"))
    if not names:
        raise UserError(
            f"{root} holds neither {{train,val}}/{{{','.join(ARRAYS)}}}/k.npy nor {folder.relative_to(root)}/<city>/*{end}"
        )
    return names


def files(root: Path, split: str, image_id: str) -> list[str]:
    """The raw files of one image, relative to `root`."""
    if image_id.isdigit():
        return npy_tree.files(split, image_id, ARRAYS)
    city = image_id.partition("_")[0]
    return [f"{folder}/{split}/{city}/{image_id}_{end}.png" for folder, end in PARTS.items()]


def read(root: Path, split: str, image_id: str) -> Sample:
    """One image with its labels, `(128, 256)`.

    Raises:
        UserError: a file is missing, damaged, of another shape or out of range.
    """
    image, label, depth = (root / file for file in files(root, split, image_id))
    if not image_id.isdigit():
        return _frame(image, label, depth)
    labels = {"semseg": npy_tree.classes(label, SIZE, len(CLASSES)), "depth": npy_tree.depth(depth, SIZE, LARGEST)}
    return Sample(npy_tree.image(image, SIZE), labels)


def _frame(image: Path, label: Path, depth: Path) -> Sample:
    photo = load_pixels(image, ("RGB",))
    labels = {"semseg": categories(label), "depth": _disparity(depth)}
    for path, stored in ((label, labels["semseg"]), (depth, labels["depth"])):
        if stored.shape != photo.shape[:2]:
            raise UserError(f"{path} is of {stored.shape} pixels, its photo of {photo.shape[:2]}: take both from one release")
    return Sample(resized_photo(photo, SIZE), {task: nearest_pixels(label, SIZE) for task, label in labels.items()})


def categories(path: Path) -> np.ndarray:
    """`(H, W)` uint8: the 7 categories of a gtFine file of labelIds, 255 where it is void.

    Raises:
        UserError: the file is missing, damaged or holds another id.
    """
    label = load_pixels(path, ("L", "P"))
    if label.max() >= len(CATEGORY):
        raise UserError(f"{path}: class {label.max()} is no labelId (0 to {len(CATEGORY) - 1}): is it another of gtFine's files?")
    return CATEGORY[label]


def _disparity(path: Path) -> np.ndarray:
    return (load_pixels(path, ("I;16", "I")) / 65535).astype(np.float32)
