"""The made-up images of docs/own-data.md, and that page's pictures.

    python bench/own_boxes.py FOLDER                    makes FOLDER/masks, FOLDER/depths and FOLDER/photo.jpg
    python bench/own_boxes.py FOLDER --pictures DOCS    after the page's commands were run in FOLDER: DOCS/own-*.png

In a bare room stand one to three boxes. The images of masks/ have a mask of the boxes (7; 0 elsewhere), those of depths/ the
depth in millimetres (16-bit PNG) and normals (npy; x right, y down, z away from the camera).
"""

import argparse
import shutil
import string
from pathlib import Path

import numpy as np
from PIL import Image

from dmtl.benchmarks.shared.raycast import Solid, pinhole, turned_axes
from dmtl.benchmarks.shared.scene import look_at, photograph

SIZE = (96, 128)
TRAIN, VAL = 12, 4  # images of each collection
BOX = 7
ROOM = np.array([4.0, 2.6, 5.0])  # width, height, depth in metres
WALL, FLOOR = (0.55, 0.52, 0.45), (0.25, 0.2, 0.15)  # linear RGB
COLOURS = ((0.75, 0.25, 0.03), (0.8, 0.4, 0.02), (0.7, 0.15, 0.05))  # of boxes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path, metavar="DOCS", help="make the page's pictures of FOLDER/boxes in DOCS")
    arguments = parser.parse_args()
    if arguments.pictures:
        draw_pictures(arguments.folder / "boxes", arguments.pictures)
    else:
        make_masks(arguments.folder / "masks")
        make_depths(arguments.folder / "depths")
        save_photo(arguments.folder / "photo.jpg", scene(99)["image"])


def scene(seed: int) -> dict[str, np.ndarray]:
    """A view of the room: image `(H, W, 3)`, mask `(H, W)`, depth `(H, W)` uint16 in millimetres, normals `(H, W, 3)` float16."""
    rng = np.random.default_rng(seed)
    solids = _room()
    for _ in range(rng.integers(1, 4)):
        half = rng.uniform(0.2, 0.5, 3)
        centre = np.array([rng.uniform(-1.2, 1.2), -half[1], rng.uniform(0.3, 1.8)])
        solids.append(Solid(BOX, centre, half, _paint(COLOURS[rng.integers(len(COLOURS))]), yaw=rng.uniform(0, 1.5)))
    axes = turned_axes(rng.uniform(-0.1, 0.1), rng.uniform(0.2, 0.3))
    camera = pinhole(np.array([rng.uniform(-0.4, 0.4), -1.5, -2.2]), axes, SIZE, 110, 110, SIZE[1] / 2, SIZE[0] / 2)
    view = look_at(solids, camera)
    return {
        "image": np.round(255 * photograph(rng, view, haze=20)).astype(np.uint8),
        "semseg": view.per_pixel([solid.label for solid in solids], np.uint8),
        "depth": np.round(1000 * view.depth).astype(np.uint16),
        "normals": np.ascontiguousarray(view.camera_normal().transpose(1, 2, 0)).astype(np.float16),
    }


def _room() -> list[Solid]:
    """Floor, ceiling and walls, 0.1 m thick."""
    solids = []
    for axis, side in ((0, -1), (0, 1), (1, 0), (1, -1), (2, -1), (2, 1)):
        half, centre = ROOM / 2 + 0.1, np.array([0, -ROOM[1] / 2, 0])
        half[axis] = 0.05
        centre[axis] = side * ROOM[1] + 0.05 * (1 if side == 0 else -1) if axis == 1 else side * (ROOM[axis] / 2 + 0.05)
        solids.append(Solid(0, centre, half, _paint(FLOOR if (axis, side) == (1, 0) else WALL)))
    return solids


def _paint(colour: tuple[float, float, float]) -> np.ndarray:
    return np.array([*colour, *(0.8 * np.array(colour)), 6, 6, 6, 0], np.float32)


def make_masks(folder: Path) -> None:
    """Split by folders; the images have letters for names."""
    for k in range(TRAIN + VAL):
        place, arrays = folder / ("train" if k < TRAIN else "val"), scene(k)
        save_photo(place / "image" / f"{string.ascii_lowercase[k]}.jpg", arrays["image"])
        Image.fromarray(arrays["semseg"]).save(_folder(place / "semseg") / f"{string.ascii_lowercase[k]}.png")


def make_depths(folder: Path) -> None:
    """Split by lists; the images have numbers from 7 on for names."""
    for k in range(7, 7 + TRAIN + VAL):
        arrays = scene(1000 + k)
        save_photo(folder / "image" / f"{k}.jpg", arrays["image"])
        Image.fromarray(arrays["depth"]).save(_folder(folder / "depth") / f"{k}.png")
        np.save(_folder(folder / "normals") / f"{k}.npy", arrays["normals"])
    for split, first, count in (("train", 7, TRAIN), ("val", 7 + TRAIN, VAL)):
        (folder / f"{split}.txt").write_text("".join(f"{k}\n" for k in range(first, first + count)))


def save_photo(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(_folder(path.parent) / path.name, quality=95)


def draw_pictures(project: Path, docs: Path) -> None:
    """own-files.png: an image of each collection with its labels; own-prediction.png: what `predict` made of the photo."""
    from dmtl.benchmarks import read_own

    own = read_own(project)
    assert own is not None, f"no benchmark.yaml in {project}"
    rows = []
    for image in ("masks-a", "depths-7"):
        sample = own.read(project, "train", image)
        there, none = sample.labels, np.full((*SIZE, 3), 255, np.uint8)
        labels = [task.kind.picture(task, there[task.name]) if task.name in there else none for task in own.tasks]
        rows.append(np.hstack([np.pad(part, ((4, 4), (4, 4), (0, 0)), constant_values=255) for part in (sample.image, *labels)]))
    Image.fromarray(np.vstack(rows)).save(docs / "own-files.png", optimize=True)
    shutil.copy(project / "predictions" / "photo" / "sheet.png", docs / "own-prediction.png")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    main()
