"""A synthetic snapshot as the published files of its photo: LabelMap, semseg, PASCAL-Part, normals, saliency."""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dmtl.benchmarks.pascal.people import PARTS

YEARS = {"train": 2008, "val": 2009}  # ids look like VOC's
# PASCAL-Context's numbers of the classes of semseg, background first
SEMSEG = (0, 2, 23, 25, 31, 34, 45, 59, 65, 72, 98, 397, 113, 207, 258, 284, 308, 347, 368, 416, 427)


class Snapshot(NamedTuple):
    """What is seen: `image` (H, W, 3) uint8; `label_map` (H, W), PASCAL-Context's classes; `thing` (H, W), the number of what is
    seen, 1 the subject and 0 the background; `part` (H, W), index in PARTS, -1 where it is no person; `normal` (3, H, W), unit
    vectors in the camera's frame.
    """

    image: np.ndarray
    label_map: np.ndarray
    thing: np.ndarray
    part: np.ndarray
    normal: np.ndarray


def image_id(split: str, k: int) -> str:
    """The id of snapshot k of a split."""
    return f"{YEARS[split]}_{k:06d}"


def names(split: str, k: int) -> list[str]:
    """The files of snapshot k; every second one's semseg lies in VOC12."""
    name, semseg = image_id(split, k), "pascal-context" if k % 2 else "VOC12"
    matlab = [f"{folder}/{name}.mat" for folder in ("pascal-context/trainval", "human_parts")]
    return [
        f"JPEGImages/{name}.jpg",
        *matlab,
        *(f"{f}/{name}.png" for f in (f"semseg/{semseg}", "normals_distill", "sal_distill")),
    ]


def contents(seen: Snapshot, split: str, k: int) -> Iterator[bytes]:
    """What the files of snapshot k hold, in the order of `names`."""
    yield _picture(Image.fromarray(seen.image), "JPEG", quality=92)
    yield _matlab({"LabelMap": seen.label_map})
    yield _matlab({"anno": _annotation(image_id(split, k), seen)})
    yield _picture(_semseg(seen.label_map, void=k % 2 == 0), "PNG")
    yield _picture(Image.fromarray(_distilled(seen.normal)), "PNG")
    from scipy import ndimage

    yield _picture(Image.fromarray(ndimage.gaussian_filter(255.0 * (seen.thing == 1), 1.5).round().astype(np.uint8)), "PNG")


def _picture(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _semseg(label_map: np.ndarray, void: bool) -> Image.Image:
    """semseg as an indexed picture; with `void` as VOC's, whose objects have a rim of 255."""
    index = np.zeros(label_map.max() + 1, np.uint8)
    for k, context in enumerate(SEMSEG[1:], start=1):
        index[context : context + 1] = k
    label = index[label_map]
    if void:
        from scipy import ndimage

        label[ndimage.maximum_filter(label, 5) != ndimage.minimum_filter(label, 5)] = 255
    picture = Image.fromarray(label)
    picture.putpalette(bytes((k * step) % 256 for k in range(256) for step in (67, 131, 41)))
    return picture


def _distilled(normal: np.ndarray) -> np.ndarray:
    """Unit vectors (3, H, W) as an 8-bit picture (H, W, 3), a little soft as a network's predictions are."""
    from scipy import ndimage

    soft = ndimage.gaussian_filter(normal, (0, 1.5, 1.5))
    soft /= np.maximum(np.sqrt((soft * soft).sum(0)), 1e-6)
    return np.rint((soft + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)


def _matlab(variables: dict[str, Any]) -> bytes:
    """A MATLAB file of version 5 that does not say when it was written."""
    stream = io.BytesIO()
    import scipy.io

    scipy.io.savemat(stream, variables, do_compression=True)
    return b"MATLAB 5.0 MAT-file, synthetic".ljust(116) + stream.getvalue()[116:]


def _annotation(name: str, seen: Snapshot) -> np.ndarray:
    """PASCAL-Part's `anno`: every object of one of the 20 classes, people with their parts."""
    objects = []
    for number in np.unique(seen.thing[seen.thing > 0]):
        mask = seen.thing == number
        context = int(seen.label_map[mask][0])
        if context in SEMSEG:
            objects.append((str(context), SEMSEG.index(context), mask.astype(np.uint8), _part_masks(seen, mask)))
    return _struct(("imname", "objects"), [(name, _struct(("class", "class_ind", "mask", "parts"), objects))])


def _part_masks(seen: Snapshot, mask: np.ndarray) -> np.ndarray:
    shown = np.unique(seen.part[mask & (seen.part >= 0)])
    return _struct(("part_name", "mask"), [(PARTS[k], (mask & (seen.part == k)).astype(np.uint8)) for k in shown])


def _struct(fields: tuple[str, ...], rows: list[tuple]) -> np.ndarray:
    """A MATLAB struct array (1, N)."""
    array = np.zeros((1, len(rows)), [(name, object) for name in fields])
    for k, row in enumerate(rows):
        array[0, k] = row
    return array
