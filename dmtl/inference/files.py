"""The files that `predict` makes of one image's predictions.

For an image `x.jpg` the folder `x` holds

    sheet.png                     the image and every prediction, with legends
    <final or initial>/<task>.png the prediction in colour, at the image's size; classes as an indexed PNG whose indices are them
    predictions.npz               `<final or initial>/<task>`: classes (H, W) uint8; probabilities (H, W) float16; depth (H, W)
                                  float32 as the benchmark stores it; normals (H, W, 3) float16 unit vectors x, y, z

Nothing here needs torch, so that the processes which write start fast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmtl.files import replacing
from dmtl.pictures.colours import palette
from dmtl.pictures.contact_sheet import contact_sheet
from dmtl.tasks import Task

ImageMaps = dict[str, dict[str, np.ndarray]]  # "final", "initial" -> task -> map
PNG_LEVEL = 3  # of zlib: half the time of the usual 6, a third more bytes


@dataclass(frozen=True)
class PredictedImage:
    """An image and everything that a network says of it.

    Attributes:
        folder: that its files belong in.
        title: of the contact sheet.
        image: `(H, W, 3)` uint8 RGB.
        tasks: of the benchmark.
        maps: of the image's size.
    """

    folder: Path
    title: str
    image: np.ndarray
    tasks: Sequence[Task]
    maps: ImageMaps


def write_files(predicted: PredictedImage) -> None:
    """Write the pictures, the arrays and the contact sheet of one image.

    Raises:
        UserError: the folder cannot be written.
    """
    arrays: dict[str, Any] = {}
    pictures: ImageMaps = {}
    for stage, maps in predicted.maps.items():
        pictures[stage] = {task.name: task.kind.picture(task, maps[task.name]) for task in predicted.tasks}
        for task in predicted.tasks:
            values = maps[task.name]
            _write_picture(predicted.folder / stage / f"{task.name}.png", _image(task, values, pictures[stage][task.name]))
            arrays[f"{stage}/{task.name}"] = values.astype(task.kind.compact or values.dtype)
    with replacing(predicted.folder / "predictions.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    sheet = contact_sheet(predicted.tasks, predicted.title, predicted.image, predicted.maps, pictures)
    _write_picture(predicted.folder / "sheet.png", sheet)


def _image(task: Task, values: np.ndarray, picture: np.ndarray) -> Image.Image:
    if not task.kind.indexed:
        return Image.fromarray(picture)
    indexed = Image.fromarray(values)
    indexed.putpalette(palette(task.colours).tobytes())
    return indexed


def _write_picture(path: Path, image: Image.Image) -> None:
    with replacing(path) as temporary:
        image.save(temporary, format="png", compress_level=PNG_LEVEL)
