"""Predictions as files: `FOLDER/<final or initial>/<task>/<image id>.png`, or `.npy` where a task is a regression."""

from pathlib import Path

import numpy as np
from PIL import Image

from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.tasks import Kind
from dmtl.tasks.shared.arrays import eight_bits


def write_prediction(folder: Path, task: str, kind: Kind, image_id: str, decoded: np.ndarray) -> None:
    """Write one prediction as `Kind.decode` gives it, at the image's own size.

    Class maps are 8-bit PNGs of class numbers; probabilities 8-bit PNGs, 255 = certain, truncated, so that `python -m dmtl odsf`
    reads boundaries; values `(H, W)` and `(C, H, W)` float32 npy.

    Raises:
        UserError: the id is no file name, or the file cannot be written.
    """
    if image_id in ("", ".", "..") or not {"/", "\\", "\0"}.isdisjoint(image_id):
        raise UserError(f"image id '{image_id}' is no file name: its prediction cannot be written")
    path = folder / task / f"{image_id}.{'npy' if kind.continuous else 'png'}"
    with replacing(path) as temporary, temporary.open("wb") as file:
        if kind.continuous:
            np.save(file, decoded)
        else:
            pixels = decoded.astype(np.uint8) if kind.indexed else eight_bits(decoded)
            Image.fromarray(pixels).save(file, format="png")
