"""`dmtl init`, the raw files' manifest and the shards of many images of one's own, timed: `python bench/own_scale.py FOLDER`.

FOLDER/large gets images of 640x480 (JPEG) with classes (8-bit PNG) and depth (16-bit PNG) of a few synthetic rooms: every
photo is a file of its own and of its own content, the labels are links to one another. Seconds are those of the clock and of
all processors (user and system), since other programs may run beside; memory is the largest sum over the processes of what
each has alone and its share of the rest (PSS). FOLDER/many gets files to list alone.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from dmtl.benchmarks.folder.listing import LABELS, collection_splits, files_of
from dmtl.benchmarks.nyud.rooms import render_room
from dmtl.files import CLONE
from dmtl.init.look import splits_of

SIZE = (480, 640)
TASKS = {"semseg": "label", "depth": "depth"}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(CLONE), "DMTL_TRACKING": "off"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=10_000, help="that are looked at and built (%(default)s)")
    parser.add_argument("--distinct", type=int, default=16, help="rooms that are rendered (%(default)s)")
    parser.add_argument("--listed", type=int, default=100_000, help="files that are only listed (%(default)s)")
    arguments = parser.parse_args()
    large, project = arguments.folder / "large", arguments.folder / "project"
    make(large, arguments.images, arguments.distinct)
    print(f"{arguments.images} images in {large}, {os.cpu_count()} cores")
    print(listing(arguments.folder / "many", arguments.listed))
    print(f"decoding the files of one image, and no more: {decoding(large):.1f} ms of a processor")
    shutil.rmtree(project, ignore_errors=True)
    timed("dmtl init", arguments.images, [sys.executable, "-m", "dmtl", "init", str(project), "--data", str(large)], None)
    for stage in ("download", "shards"):
        timed(stage, arguments.images, [sys.executable, str(CLONE / "stages" / f"{stage}.py"), "project"], project)


def make(folder: Path, images: int, distinct: int) -> None:
    """Images and labels, where they are not there yet."""
    if (folder / "depth" / f"{images - 1}.png").exists():
        return
    for name in ("image", *TASKS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    photos = []
    for k in range(distinct):
        arrays = render_room(np.random.default_rng(k), SIZE)
        photo = BytesIO()
        Image.fromarray(np.round(255 * arrays["image"]).astype(np.uint8)).save(photo, "JPEG", quality=90)
        photos.append(photo.getvalue())
        labels = {"semseg": arrays["label"].astype(np.uint8), "depth": np.round(1000 * arrays["depth"][..., 0]).astype(np.uint16)}
        labels["semseg"][arrays["label"] < 0] = 255
        for name, label in labels.items():
            Image.fromarray(label).save(folder / name / f"{k}.png")
    for k in range(images):
        (folder / "image" / f"{k}.jpg").write_bytes(photos[k % distinct] + k.to_bytes(8, "big"))  # bytes after the picture's end
        for name in TASKS if k >= distinct else ():
            os.link(folder / name / f"{k % distinct}.png", folder / name / f"{k}.png")


def listing(folder: Path, files: int) -> str:
    """Seconds that listing takes, of images and of labels of half of them."""
    for name, step in (("image", 1), ("semseg", 2)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for k in range(0, 2 * files // 3, step):
            (folder / name / f"{k}.png").touch()
    start = time.perf_counter()
    splits, labels = collection_splits(folder, splits_of(folder)), files_of(folder / "semseg", LABELS)
    seconds = time.perf_counter() - start
    return f"listing {sum(map(len, splits.values())) + len(labels)} files: {seconds:.1f} s"


def decoding(folder: Path, images: int = 100) -> float:
    """Milliseconds that Pillow needs for an image and its labels, below which nothing can be."""
    start = time.process_time()
    for k in range(images):
        for name, ending in {"image": "jpg", **dict.fromkeys(TASKS, "png")}.items():
            np.asarray(Image.open(folder / name / f"{k}.{ending}"))
    return 1000 * (time.process_time() - start) / images


def timed(title: str, images: int, command: list[str], cwd: Path | None) -> None:
    """Run a command and print what it took."""
    before, start, largest = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    with subprocess.Popen(command, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            largest = max(largest, memory(process.pid))
            time.sleep(0.5)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"{title} ended with {process.returncode}")
    processors = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{title:9s} {wall:6.1f} s, {images / wall:6.0f} images/s; {processors:6.1f} s of processors, "
        f"{1000 * processors / images:.1f} ms an image; memory {largest / 2**20:.0f} MiB"
    )


def memory(pid: int) -> int:
    """Bytes of a process and all that it started, what several share counted once."""
    total, waiting = 0, [pid]
    while waiting:
        try:
            folder = Path("/proc") / str(one := waiting.pop())
            total += 1024 * int((folder / "smaps_rollup").read_text().partition("\nPss:")[2].split()[0])
            waiting += map(int, (folder / "task" / str(one) / "children").read_text().split())
        except (OSError, IndexError, ProcessLookupError):  # it has ended
            continue
    return total


if __name__ == "__main__":
    main()
