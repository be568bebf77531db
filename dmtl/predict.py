"""All tasks of one's own images, from a model folder alone: colour pictures, raw arrays and a contact sheet for each image.

For an image `x.jpg` the folder `x` holds

    sheet.png                     the image and every prediction, with legends
    <final or initial>/<task>.png the prediction in colour, at the image's size; classes as an indexed PNG whose indices are them
    predictions.npz               `<final or initial>/<task>`: classes (H, W) uint8; saliency and boundary (H, W) float16
                                  probabilities; depth (H, W) float32 as the benchmark stores it (NYUD: metres, Cityscapes:
                                  disparity / 65535); normals (H, W, 3) float16 unit vectors x, y, z

The network sees an image as in training and evaluation: at the benchmark's size, filling it (NYUD, Cityscapes) or scaled down
where it is larger and padded (PASCAL). So a test image gets the predictions that are scored, and any size will do. Predictions
are brought back to the image's size before they are decoded.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dmtl.benchmarks.raw import benchmark_module
from dmtl.benchmarks.sample import Fit, Sample
from dmtl.contact_sheet import contact_sheet
from dmtl.data.loading import noise_key
from dmtl.data.transforms import centred, normalise
from dmtl.errors import UserError
from dmtl.evaluation.maps import decode, kind
from dmtl.files import replacing
from dmtl.images import distinct_names, find_images, read_image
from dmtl.losses import upsample
from dmtl.models import load_model, read_description
from dmtl.models.shared.method import Method
from dmtl.pictures import palette, picture

ImageMaps = dict[str, dict[str, np.ndarray]]  # "final", "initial" -> task -> map


@dataclass(frozen=True)
class Predictor:
    """A trained network and what it needs to know about its images."""

    model: Method
    benchmark: str
    size: tuple[int, int]
    fit: Fit
    seed: int

    @classmethod
    def load(cls, folder: Path) -> "Predictor":
        """From a model folder.

        Raises:
            UserError: it holds no complete model, or its model.json does not say of which benchmark and size.
        """
        about = read_description(folder)
        benchmark, size = about.get("benchmark"), about.get("size")
        if not isinstance(benchmark, str) or not isinstance(size, list) or [type(side) for side in size] != [int, int]:
            raise UserError(
                f"{folder / 'model.json'} does not say 'benchmark' and 'size' (those of earlier versions do not): train the cell "
                'again, or add "benchmark": NAME and "size": [height, width] of its training images'
            )
        module = benchmark_module(benchmark)
        model = load_model(folder).to("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model, benchmark, (size[0], size[1]), module.FIT, int(about.get("seed") or 0))

    @torch.no_grad()
    def __call__(self, image: np.ndarray, name: str) -> ImageMaps:
        """Every prediction for an image, as maps of its size.

        Args:
            image: `(H, W, 3)` uint8 RGB.
            name: what the inference noise is drawn from; a test image's id gives the noise that it is scored with.
        """
        content = Sample(image, {}).brought_to(self.size, self.fit).image
        rows, columns = centred(self.size, content.shape[:2])
        canvas = torch.zeros(1, 3, *self.size)
        canvas[0, :, rows, columns] = normalise(torch.from_numpy(content.copy()).permute(2, 0, 1).float())
        device = next(iter([*self.model.parameters(), *self.model.buffers()])).device
        key = torch.tensor([noise_key(name, self.seed, epoch=-1)], device=device)
        predictions = self.model.predict(canvas.to(device), keys=key)
        height, width = image.shape[:2]
        return {
            stage: {task: _decoded(task, logits[0, :, rows, columns], (height, width)) for task, logits in maps.items()}
            for stage, maps in predictions.items()
            if maps
        }


def _decoded(task: str, logits: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Logits `(C, h, w)` as a map of `size`; classes one channel after the other, since all of a large image do not fit."""
    if kind(task) != "classes":
        return decode(task, upsample(logits[None], size)[0].cpu().numpy())
    best = torch.full(size, -torch.inf, device=logits.device)
    classes = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for number, channel in enumerate(logits):
        score = upsample(channel[None, None], size)[0, 0]
        better = score > best
        best, classes = torch.where(better, score, best), classes.masked_fill(better, number)
    return classes.cpu().numpy()


def predict_files(patterns: Sequence[str], folder: Path, out: Path, tell: Callable[[str], None] | None = None) -> int:
    """Predict images and write what the module's docstring lists below `out`.

    Args:
        patterns: files, folders or glob patterns.
        folder: of the model.
        out: where the images' folders are made; existing files of the same names are replaced.
        tell: called with one line for each image that cannot be read; standard error if None.

    Returns:
        How many images, or patterns without any, gave nothing.

    Raises:
        UserError: the model cannot be used, or `out` cannot be written.
    """
    files, problems = find_images(patterns)
    tell = tell or (lambda line: tqdm.write(f"error: {line}", file=sys.stderr))
    for problem in problems:
        tell(problem)
    predictor = Predictor.load(folder)
    failed = len(problems)
    for path, name in zip(tqdm(files, "predicting", unit="image", disable=None), distinct_names(files), strict=True):
        try:
            image = read_image(path)
        except UserError as error:
            tell(str(error))
            failed += 1
            continue
        write_predictions(out / name, predictor.benchmark, str(path), image, predictor(image, path.stem))
    return failed


def write_predictions(folder: Path, benchmark: str, title: str, image: np.ndarray, maps: ImageMaps) -> None:
    """Write the pictures, the arrays and the contact sheet of one image.

    Raises:
        UserError: the folder cannot be written.
    """
    for stage, of_tasks in maps.items():
        for task, values in of_tasks.items():
            _write_picture(folder / stage / f"{task}.png", _image(benchmark, task, values))
    arrays: dict[str, Any] = {f"{stage}/{task}": _stored(task, m) for stage, tasks in maps.items() for task, m in tasks.items()}
    with replacing(folder / "predictions.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    _write_picture(folder / "sheet.png", contact_sheet(benchmark, title, image, maps))


def _image(benchmark: str, task: str, values: np.ndarray) -> Image.Image:
    if kind(task) != "classes":
        return Image.fromarray(picture(benchmark, task, values))
    indexed = Image.fromarray(values)
    indexed.putpalette(palette(benchmark, task).tobytes())
    return indexed


def _stored(task: str, values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16) if kind(task) in ("probability", "normals") else values


def _write_picture(path: Path, image: Image.Image) -> None:
    with replacing(path) as temporary:
        image.save(temporary, format="png")
