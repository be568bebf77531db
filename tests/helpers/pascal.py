"""Small images of PASCAL with all their files."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

from dmtl.benchmarks.pascal import encode

SIZE = (30, 40)
FOLDERS = ("JPEGImages", "pascal-context/trainval", "semseg/VOC12", "semseg/pascal-context", "human_parts")
FOLDERS += ("normals_distill", "sal_distill", "ImageSets/Context")


def mask(rows: slice, columns: slice, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[rows, columns] = 1
    return mask


def thing(kind: int, mask: np.ndarray, parts: dict[str, np.ndarray]) -> tuple[Any, ...]:
    return ("thing", kind, mask, encode._struct(("part_name", "mask"), list(parts.items())))


def annotation(*objects: tuple[Any, ...]) -> dict[str, np.ndarray]:
    found = encode._struct(("class", "class_ind", "mask", "parts"), list(objects))
    return {"anno": encode._struct(("imname", "objects"), [("x", found)])}


def put(tree: Path, name: str, size: tuple[int, int] = SIZE) -> None:
    """A small image with all its files: a person at the left of a wall, below a sky."""
    for folder in FOLDERS:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(name))
    label_map = np.full(size, 440, np.uint16)
    label_map[: size[0] // 3] = 360
    label_map[5:25, 5:15] = 284
    person = (label_map == 284).astype(np.uint8)
    parts = {"torso": person, "hair": mask(slice(5, 9), slice(5, 15), size)}
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(tree / f"JPEGImages/{name}.jpg")
    scipy.io.savemat(tree / f"pascal-context/trainval/{name}.mat", {"LabelMap": label_map})
    scipy.io.savemat(tree / f"human_parts/{name}.mat", annotation(thing(15, person, parts)))
    Image.fromarray(person * 15).save(tree / f"semseg/pascal-context/{name}.png")
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(tree / f"normals_distill/{name}.png")
    Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(tree / f"sal_distill/{name}.png")
