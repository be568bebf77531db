"""Made-up images of one's own, labelled in part: grey grounds with a bright box, which is class 7, nearer, and tilted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from dmtl.__main__ import main
from dmtl.config import Project

SIZE = (40, 56)
FAR, NEAR = 4000, 1500  # millimetres
ALL = ("semseg", "depth", "normals", "flow")


def scene(k: int, size: tuple[int, int] = SIZE) -> dict[str, np.ndarray]:
    """Image k with all its labels, as they are stored: classes 0 and 7, depth in millimetres, normals, flow of two channels."""
    rng = np.random.default_rng(k)
    box = np.zeros(size, bool)
    top, left = rng.integers(0, size[0] // 2), rng.integers(0, size[1] // 2)
    box[top : top + size[0] // 2, left : left + size[1] // 2] = True
    image = np.where(box[..., None], [220, 180, 60], [70, 70, 80]) + rng.integers(0, 30, (*size, 3))
    depth = np.where(box, NEAR, FAR).astype(np.uint16)
    depth[0, 0] = 0  # there is none
    normals = np.where(box[..., None], [0.6, 0.0, -0.8], [0.0, 0.0, -1.0]).astype(np.float32)
    flow = np.where(box[..., None], [1.5, -0.5], [0.0, 0.0]).astype(np.float32)
    return {
        "image": image.astype(np.uint8),
        "semseg": (7 * box).astype(np.uint8),
        "depth": depth,
        "normals": normals,
        "flow": flow,
    }


def store(folder: Path, name: str, array: np.ndarray, ending: str | None = None) -> Path:
    """Write an array as PNG, or as npy where it is no picture; returns its path."""
    pictured = array.dtype in (np.uint8, np.uint16)
    path = folder / f"{name}{ending or ('.png' if pictured else '.npy')}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


def make_collection(folder: Path, tasks: Sequence[str] = ALL, train: int = 6, val: int = 3, first: int = 0) -> Path:
    """A collection with folders train/ and val/, every image with a label of each of `tasks`."""
    for split, start, count in (("train", first, train), ("val", first + train, val)):
        for k in range(start, start + count):
            arrays = scene(k)
            for name in ("image", *tasks):
                store(folder / split / name, f"{k}", arrays[name])
    return folder


def init(*words: object) -> None:
    """The command `dmtl init`, in this process."""
    main(["init", *map(str, words)])


def truncate(path: Path, by: int = 40) -> None:
    """Cut bytes off a file's end."""
    path.write_bytes(path.read_bytes()[:-by])


def tiny_recipe(folder: Path) -> Project:
    """A project's recipe cut down to seconds."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    [recipe] = params["scales"]["own"]["train"].values()
    recipe |= {"width": 8, "epochs": 1, "batch": 3, "precision": "32-true", "pretrained": False}
    params["plain"]["decoder_blocks"] = params["consistency"]["decoder_blocks"] = 1
    params["diffusion"]["network"] |= {"decoder_blocks": 1, "blocks": 1}
    params["consistency"]["xtc"]["widths"] = [1.0, 1.0, 1.0, 1.0, 2.0]
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return Project(folder)
