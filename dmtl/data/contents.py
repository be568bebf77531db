"""What a shard must hold, looked at once when it is opened: names, shapes, types, counts and ranges (docs/data.md, "Shards").

Each function raises KeyError or ValueError, of which `Shard` makes one line; the values of labels are looked at as they are read.
"""

import re
from typing import Any

import h5py
import numpy as np

from dmtl.config.blocks import validated
from dmtl.config.own import Described
from dmtl.reading.bounded import parse_json
from dmtl.reading.hdf5 import dataset, text_attribute, whole
from dmtl.tasks import Kind

MOST_IMAGES = 10_000_000
LONGEST_SIDE = 1_000_000  # of a raw image
LARGEST_SIDE = 8192  # of a canvas
MOST_CHANNELS, MOST_TASKS = 1024, 64


def tasks_of(file: h5py.File) -> tuple[dict[str, int], dict[str, dict[str, Any]]]:
    """Task -> a network's channels, and what those tasks are whose names say nothing."""
    outputs, kinds = parse_json(text_attribute(file, "outputs")), parse_json(text_attribute(file, "kinds", "{}"))
    if not isinstance(outputs, dict) or not 0 < len(outputs) <= MOST_TASKS:
        raise ValueError("the attribute 'outputs' names no tasks")
    for task, channels in outputs.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", task) or type(channels) is not int or not 0 < channels <= MOST_CHANNELS:
            raise ValueError(f"the attribute 'outputs' gives the task {task[:60]!r} {str(channels)[:20]} channels")
    if not isinstance(kinds, dict) or not all(isinstance(kind, dict) and "name" in kind for kind in kinds.values()):
        raise ValueError("the attribute 'kinds' does not say what tasks are")
    return outputs, kinds


def require_described(text: str | None, outputs: dict[str, int]) -> None:
    """What a shard says of a user's own benchmark, which its models say after it; None where it is none."""
    if text is not None and list(validated(Described, parse_json(text), "the attribute 'described'").tasks) != list(outputs):
        raise ValueError("the attribute 'described' is of other tasks than 'outputs'")


def ids_of(file: h5py.File) -> list[str]:
    """The names of the images, each once."""
    names = [name.decode() for name in whole(file, "id", (None,), "S").tolist()]
    if not 0 < len(names) <= MOST_IMAGES:
        raise ValueError(f"'id' names {len(names)} images")
    if len(set(names)) < len(names) or "" in names:
        raise ValueError("'id' names an image twice, or has an empty name")
    return names


def canvas_of(file: h5py.File, count: int) -> tuple[int, int]:
    """(height, width) of the canvas that `count` images lie on."""
    shape, dtype = dataset(file, "image").shape, file["image"].dtype
    if len(shape) != 4 or shape[0] != count or shape[3] != 3 or dtype != np.uint8:
        raise ValueError(f"'image' is of type {dtype} and shape {shape}, for {count} ids")
    if not all(1 <= side <= LARGEST_SIDE for side in shape[1:3]):
        raise ValueError(f"'image' has a canvas of {shape[1]}x{shape[2]}")
    return shape[1], shape[2]


def sizes_of(file: h5py.File, name: str, count: int, most: tuple[int, int]) -> np.ndarray:
    """`(N, 2)`: (height, width) of each image, from 1 to `most`."""
    sizes = whole(file, name, (count, 2), "i")
    if (sizes < 1).any() or (sizes > most).any():
        wrong = sizes[((sizes < 1) | (sizes > most)).any(axis=1)][0].tolist()
        raise ValueError(f"'{name}' holds {wrong}, which is not from 1 to {list(most)}")
    return sizes


def require_labels(file: h5py.File, count: int, size: tuple[int, int], outputs: dict[str, int], kinds: dict[str, Kind]) -> None:
    """The labels of every task, as large and of such a type as its kind stores them; and what the metrics need besides."""
    for task, channels in outputs.items():
        data = dataset(file, task)
        if not kinds[task].stores(data.shape[1:], data.dtype, size, channels) or data.shape[0] != count:
            raise ValueError(f"'{task}' is of type {data.dtype} and shape {data.shape}, for {count} images of {size}")
    sizes_of(file, "original_size", count, (LONGEST_SIDE, LONGEST_SIDE))
    if "label_map" in file:
        data = dataset(file, "label_map")
        if data.shape != (count, *size) or data.dtype != np.uint16:
            raise ValueError(f"'label_map' is of type {data.dtype} and shape {data.shape}")
    if "boundary_listed" in file:
        whole(file, "boundary_listed", (count,), "b")


def masks_of(file: h5py.File, count: int, tasks: int) -> dict[str, np.ndarray]:
    """The label masks of all settings and, as `labelled`, which labels there are: `(N, T)` uint8 of 0 and 1 each."""
    link = file.get("label_mask", getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise ValueError("'label_mask' is a link to another place")
    group = file["label_mask"] if link is not None else {}
    if link is not None and not isinstance(group, h5py.Group):
        raise ValueError("'label_mask' is no group of settings")
    names = [f"label_mask/{setting}" for setting in group] + (["labelled"] if "labelled" in file else [])
    masks = {name: whole(file, name, (count, tasks), "bu") for name in names}
    for name, mask in masks.items():
        if mask.dtype not in (np.uint8, np.bool_) or mask.max() > 1:
            raise ValueError(f"'{name}' holds other values than 0 and 1")
    return masks
