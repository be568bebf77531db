"""The npy trees of MTAN, `{train,val}/<array>/{k}.npy`, which several benchmarks were published as."""

from pathlib import Path

import numpy as np

from dmtl.benchmarks.shared.readers import check_range, load_npy
from dmtl.errors import UserError
from dmtl.tasks import IGNORE


def is_there(root: Path) -> bool:
    """Whether the folder holds such a tree."""
    return any((root / split / "image").is_dir() for split in ("train", "val"))


def numbers(root: Path, split: str, arrays: tuple[str, ...]) -> list[str]:
    """The images of a split, "0" to "N-1".

    Raises:
        UserError: the folder is empty, a number is missing, or one stands there twice.
    """
    folder = root / split / "image"
    stems = [path.stem for path in folder.glob("*.npy") if path.stem.isascii() and path.stem.isdigit()]
    if not stems:
        raise UserError(f"{folder} holds no k.npy: expected the MTAN tree {{train,val}}/{{{','.join(arrays)}}}/k.npy")
    odd = [stem for stem in stems if stem != str(int(stem))]
    if odd:
        raise UserError(f"{folder / odd[0]}.npy: name it {int(odd[0])}.npy, or delete it if that is there too")
    missing = set(range(len(stems))) - {int(stem) for stem in stems}
    if missing:
        raise UserError(f"{folder / f'{min(missing)}.npy'} is missing: complete the folder, or take the files anew")
    return [str(number) for number in range(len(stems))]


def files(split: str, image_id: str, arrays: tuple[str, ...]) -> list[str]:
    """The files of one image, relative to the tree's root."""
    return [f"{split}/{array}/{image_id}.npy" for array in arrays]


def image(path: Path, size: tuple[int, int]) -> np.ndarray:
    """`(H, W, 3)` uint8 RGB; stored as 0 to 1."""
    stored = load_npy(path, (*size, 3))
    check_range(path, stored, 0, 1, "brightness")
    return np.round(stored * 255).astype(np.uint8)


def classes(path: Path, size: tuple[int, int], count: int) -> np.ndarray:
    """`(H, W)` uint8, 255 where there is no label; stored as -1 and 0 to `count` - 1."""
    label = load_npy(path, size)
    check_range(path, label, -1, count - 1, "class")
    if (label != np.round(label)).any():
        raise UserError(f"{path}: class {label[label != np.round(label)][0]:g} is no whole number; take the file anew")
    return np.where(label < 0, IGNORE, label).astype(np.uint8)


def depth(path: Path, size: tuple[int, int], largest: float) -> np.ndarray:
    """`(H, W)` float32 as stored, 0 where it is invalid."""
    stored = load_npy(path, (*size, 1))[..., 0]
    check_range(path, stored, 0, largest, "depth")
    return stored
