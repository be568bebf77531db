"""Predictions as files: `FOLDER/<final or initial>/<task>/<image id>.png`, or `.npy` where a task is a regression."""

from pathlib import Path

import numpy as np
from PIL import Image

from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.tasks import TASKS


def write_prediction(folder: Path, task: str, image_id: str, decoded: np.ndarray) -> None:
    """Write one prediction as `dmtl.metrics.metric.Metric.decode` gives it, at the image's own size.

    Class maps are 8-bit PNGs of class numbers; saliency and boundaries 8-bit PNGs, 255 = certain, truncated, so that
    `python -m dmtl odsf` reads the latter; depth `(H, W)` and normals `(3, H, W)` float32 npy.

    Raises:
        UserError: the id is no file name, or the file cannot be written.
    """
    if image_id in ("", ".", "..") or not {"/", "\\", "\0"}.isdisjoint(image_id):
        raise UserError(f"image id '{image_id}' is no file name: its prediction cannot be written")
    continuous = TASKS[task].continuous
    with replacing(folder / task / f"{image_id}.{'npy' if continuous else 'png'}") as temporary, temporary.open("wb") as file:
        if continuous:
            np.save(file, decoded)
        else:
            Image.fromarray(_eight_bits(decoded)).save(file, format="png")


def _eight_bits(decoded: np.ndarray) -> np.ndarray:
    return (255 * decoded if decoded.dtype.kind == "f" else decoded).astype(np.uint8)
