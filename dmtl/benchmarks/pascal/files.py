"""PASCAL-Context as ASTMT and ATRC published it for five tasks (docs/data.md).

    JPEGImages/<id>.jpg                                          photo
    pascal-context/trainval/<id>.mat                             LabelMap, classes 0 to 459
    semseg/VOC12/<id>.png, or else semseg/pascal-context/<id>.png   classes 0 to 20, 255 = ignore
    human_parts/<id>.mat                                         PASCAL-Part
    normals_distill/<id>.png                                     RGB = x, y, z, n = 2 v / 255 - 1
    sal_distill/<id>.png                                         grey
    ImageSets/Context/{train,val}.txt                            4998 and 5105 ids

The tree is the given folder, or PASCALContext or PASCAL_MT below it. A label of another size than the photo is brought to the
photo's. Photos are read as stored: where one carries an EXIF rotation, the published labels are of the unrotated pixels.
"""

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmtl.benchmarks.shared.readers import check_range, load_mat, load_pixels, read_bytes
from dmtl.benchmarks.shared.sample import ImageList, Sample
from dmtl.errors import UserError
from dmtl.tasks import IGNORE
from dmtl.tasks.normals import NO_NORMAL
from dmtl.tasks.shared.arrays import nearest_pixels

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
PARTS = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
PART_CLASSES = {  # PASCAL-Part's names of a person's parts -> index in PARTS
    **dict.fromkeys(("hair", "head", "lear", "lebrow", "leye", "mouth", "nose", "rear", "rebrow", "reye"), 1),
    **dict.fromkeys(("neck", "torso"), 2),
    **dict.fromkeys(("luarm", "ruarm"), 3),
    **dict.fromkeys(("llarm", "rlarm", "lhand", "rhand"), 4),
    **dict.fromkeys(("luleg", "ruleg"), 5),
    **dict.fromkeys(("llleg", "rlleg", "lfoot", "rfoot"), 6),
}
PERSON = 15  # among PASCAL-Part's objects, and in CLASSES
CONTEXT_CLASSES = 460  # of LabelMap, 0 included
# The classes that NYU and PASCAL-Context share by name: the network that the normals were distilled from knew no others.
NORMALS_CLASSES = (
    "3,4,6,9,10,11,13,15,17,18,22,23,29,30,33,34,36,37,38,39,41,43,46,49,50,51,53,55,56,59,61,62,65,66,68,69,72,73,78,83,84,85,87,88,"
    "95,96,101,104,105,107,111,113,115,122,124,135,141,142,143,146,150,154,157,158,159,165,172,174,181,183,184,191,193,195,197,199,"
    "202,213,215,216,219,220,223,225,228,230,232,233,238,239,242,243,246,250,251,252,255,260,261,263,269,272,273,275,281,283,284,285,"
    "286,287,288,290,291,292,293,295,304,307,309,310,314,315,319,323,329,330,331,336,342,345,349,350,351,352,355,357,368,370,371,374,"
    "379,380,383,384,397,401,403,405,407,408,411,412,413,414,417,419,421,423,427,429,430,432,440,441,442,443,444,446,454,457"
)
HAS_NORMALS = np.isin(np.arange(CONTEXT_CLASSES), np.array(NORMALS_CLASSES.split(","), int))
LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
TEST_NEW = "1998ea178a4683c851a7db0c5c6d41dcbc026e9502d4a6f10bb3668862cff0ce"  # SHA-256 of the 2498 ids that odsF is taken over
_TREES = (".", "PASCALContext", "PASCAL_MT")


def ids(root: Path, split: str) -> list[str]:
    """The images of a split, in the order of its list.

    Raises:
        UserError: the list is missing or empty, or an id stands in it twice or is none.
    """
    path = root / _tree(root) / "ImageSets" / "Context" / f"{split}.txt"
    names = _listed(path)
    if not names:
        raise UserError(f"{path} lists no image: take it anew")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(f"{path} lists {name} {times} times: take it anew")
    return names


def boundary_list(root: Path, mappings: Path | None) -> ImageList:
    """The test images over which odsF is taken: the public tool's list `test_new`, or all where there is no such list.

    Args:
        root: the tree.
        mappings: where the list may also be, for real data; then it must be the published one. None for synthetic scenes.

    Raises:
        UserError: the list is another one.
    """
    places = [root / _tree(root) / "ImageSets" / "Context" / "test_new.txt"]
    places += [mappings / name for name in ("splits/pascal_test_new.txt", "pascal_test_new.txt")] if mappings else []
    for path in places:
        if path.is_file():
            names, digest = _listed(path), hashlib.sha256(read_bytes(path)).hexdigest()
            if mappings and digest != TEST_NEW:
                raise UserError(
                    f"{path} is not the published list (SHA-256 {digest[:12]}..., not {TEST_NEW[:12]}...): take it anew"
                )
            return ImageList(frozenset(names), f"test_new ({len(names)} images, SHA-256 {digest[:12]})")
    return ImageList(None, "all of val: no list test_new.txt was found")


def files(root: Path, split: str, image_id: str) -> list[str]:
    """The raw files of one image, relative to `root`: photo, LabelMap, semseg, parts, normals, saliency."""
    tree = _tree(root)
    voc = tree / f"semseg/VOC12/{image_id}.png"
    names = (
        tree / f"JPEGImages/{image_id}.jpg",
        tree / f"pascal-context/trainval/{image_id}.mat",
        voc if (root / voc).is_file() else tree / f"semseg/pascal-context/{image_id}.png",
        tree / f"human_parts/{image_id}.mat",
        tree / f"normals_distill/{image_id}.png",
        tree / f"sal_distill/{image_id}.png",
    )
    return [name.as_posix() for name in names]


def read(root: Path, split: str, image_id: str) -> Sample:
    """One image with its labels, `(H, W)` of the photo; those of `val` also carry `label_map`.

    Raises:
        UserError: a file is missing, damaged, of another kind or out of range.
    """
    photo, context, semseg, parts, normals, saliency = (root / name for name in files(root, split, image_id))
    image = _photo(photo)
    size: tuple[int, int] = image.shape[:2]
    label_map = _label_map(context, size)
    labels = {
        "semseg": _semseg(semseg, size),
        "human_parts": _human_parts(parts, size),
        "saliency": _fitting(saliency, load_pixels(saliency, ("L",)) >= 128, size).astype(np.uint8),
        "normals": _normals(normals, label_map),
        "boundary": boundary(label_map),
    }
    return Sample(image, labels, {"label_map": label_map} if split == "val" else {})


def boundary(label_map: np.ndarray) -> np.ndarray:
    """The boundary label `(H, W)` uint8 that is trained on: where the LabelMap's Laplacian is not 0, thinned to one pixel."""
    from scipy import ndimage
    from skimage.morphology import thin

    return thin(ndimage.convolve(label_map.astype(np.int64), LAPLACIAN, mode="mirror") != 0).astype(np.uint8)


def _tree(root: Path) -> Path:
    """The tree's folder relative to `root`."""
    trees = [Path(name) for name in _TREES if (root / name / "ImageSets" / "Context").is_dir()]
    if not trees:
        raise UserError(
            f"{root} holds no ImageSets/Context, nor do PASCALContext and PASCAL_MT below it: expected the tree of PASCAL_MT.tgz"
        )
    return trees[0]


def _listed(path: Path) -> list[str]:
    names = read_bytes(path).decode(errors="replace").split()
    odd = [name for name in names if not re.fullmatch(r"\w+", name, re.ASCII)]
    if odd:
        raise UserError(f"{path} lists {odd[0]!r}, which is no image's name: take it anew")
    return names


def _photo(path: Path) -> np.ndarray:
    """A photo `(H, W, 3)`; a grey one has three equal channels."""
    pixels = load_pixels(path, ("RGB", "L"))
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _fitting(path: Path, label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The label at the photo's size, from the nearest pixels.

    Raises:
        UserError: it lies across: one of the two was turned.
    """
    if label.shape[:2] == size:
        return label
    if label.shape[1::-1] == size:
        raise UserError(f"{path} is {label.shape[0]}x{label.shape[1]}, but its photo {size[0]}x{size[1]}: one of them was turned")
    return nearest_pixels(label, size)


def _semseg(path: Path, size: tuple[int, int]) -> np.ndarray:
    label = load_pixels(path, ("P", "L"))
    check_range(path, np.where(label == IGNORE, 0, label), 0, len(CLASSES) - 1, "class")
    return _fitting(path, label, size)


def _normals(path: Path, label_map: np.ndarray) -> np.ndarray:
    """8-bit normals `(H, W, 3)` where the LabelMap's class has any."""
    codes = load_pixels(path, ("RGB",))
    if codes.shape[:2] != label_map.shape:
        _fitting(path, codes, label_map.shape)
        codes = np.asarray(Image.fromarray(codes).resize(label_map.shape[::-1], Image.Resampling.BICUBIC))
    return np.where(HAS_NORMALS[label_map][..., None], codes, np.uint8(NO_NORMAL))


def _label_map(path: Path, size: tuple[int, int]) -> np.ndarray:
    """`(H, W)` uint16."""
    classes = load_mat(path, "LabelMap")
    if classes.dtype.kind not in "fiu" or classes.ndim != 2 or not classes.size or (classes != np.round(classes)).any():
        raise UserError(f"{path}: LabelMap is no table of class numbers; take it anew")
    check_range(path, classes, 0, CONTEXT_CLASSES - 1, "class")
    return _fitting(path, classes.astype(np.uint16), size)


def _human_parts(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The parts of all people, later ones over earlier ones; all 0 where there is nobody with parts."""
    objects = load_mat(path, "anno")
    try:
        people = [(one["mask"], one["parts"]) for one in objects[0, 0]["objects"].flat if int(one["class_ind"].item()) == PERSON]
        parts = [(str(part["part_name"].item()), part["mask"]) for _, parts_of_one in people for part in parts_of_one.flat]
        label = np.zeros(people[0][0].shape if people else size, np.uint8)
        if any(mask.any() for mask, _ in people):
            for name, mask in parts:
                label[mask > 0] = _part_class(path, name)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: anno is not as PASCAL-Part publishes it ({reason}); take it anew") from None
    return _fitting(path, label, size)


def _part_class(path: Path, name: str) -> Any:
    if name not in PART_CLASSES:
        raise UserError(f"{path}: a person has the part {name!r}, which PASCAL-Part has not; take it anew")
    return PART_CLASSES[name]
