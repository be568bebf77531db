"""Real images as four collections of a user's own, each labelled for other tasks: what docs/own-data.md was tried on.

    python bench/own_data.py SHARED_DATA MTAN_TREE OUT

writes OUT/rooms (NYUv2 frames: depth, normals), OUT/things (VOC photos: semseg, any size), OUT/people (PASCAL-Part photos:
human_parts) and OUT/streets (Cityscapes frames: street, 7 classes). Then `dmtl init NAME --data OUT/*`.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from dmtl.benchmarks.cityscapes.files import categories
from dmtl.benchmarks.pascal.files import _human_parts

FRAMES = {"train": 150, "val": 40}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("tree", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    rooms(arguments.tree, arguments.out / "rooms")
    samples = arguments.shared / "pascal_samples"
    for mask in sorted(samples.rglob("SegmentationClass/*.png")):
        photo = next(samples.rglob(f"JPEGImages/{mask.stem}.jpg"))
        for file, folder in ((photo, "image"), (mask, "semseg")):
            _folder(arguments.out / "things" / folder)
            shutil.copy(file, arguments.out / "things" / folder / file.name)
    for file in sorted((samples / "parts").glob("*.mat")):
        photo = file.with_suffix(".jpg")
        parts = _human_parts(file, np.asarray(Image.open(photo)).shape[:2])
        if (parts != 0).any():
            shutil.copy(photo, _folder(arguments.out / "people" / "image") / photo.name)
            Image.fromarray(parts).save(_folder(arguments.out / "people" / "human_parts") / f"{file.stem}.png")
    streets = sorted((arguments.shared / "cityscapes_samples").rglob("*_leftImg8bit.png"))
    for k, photo in enumerate(streets):
        label = next((arguments.shared / "cityscapes_samples").rglob(photo.name.replace("leftImg8bit", "gtFine_labelIds")))
        split = arguments.out / "streets" / ("val" if k == 0 else "train")
        shutil.copy(photo, _folder(split / "image") / f"{k}.png")
        Image.fromarray(categories(label)).save(_folder(split / "street") / f"{k}.png")


def rooms(tree: Path, out: Path) -> None:
    """NYUv2 frames with depth in millimetres and normals, without classes."""
    for split, count in FRAMES.items():
        for k in range(count):
            image, depth, normal = (np.load(tree / split / name / f"{k}.npy") for name in ("image", "depth", "normal"))
            Image.fromarray(np.round(image * 255).astype(np.uint8)).save(_folder(out / split / "image") / f"{k}.png")
            Image.fromarray(np.round(depth[..., 0] * 1000).astype(np.uint16)).save(_folder(out / split / "depth") / f"{k}.png")
            np.save(_folder(out / split / "normals") / f"{k}.npy", normal.astype(np.float16))


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    main()
