"""All tasks of one's own images, from a model folder alone: colour pictures, raw arrays and a contact sheet for each image.

For an image `x.jpg` the folder `x` holds

    sheet.png                     the image and every prediction, with legends
    <final or initial>/<task>.png the prediction in colour, at the image's size; classes as an indexed PNG whose indices are them
    predictions.npz               `<final or initial>/<task>`: classes (H, W) uint8; probabilities (H, W) float16; depth (H, W)
                                  float32 as the benchmark stores it; normals (H, W, 3) float16 unit vectors x, y, z

The network sees an image as in training and evaluation: at the benchmark's size, filling it or scaled down where it is
larger and padded, as the benchmark says. So a test image gets the predictions that are scored, and any size will do. Predictions
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

from dmtl.benchmarks import Benchmark, benchmark
from dmtl.benchmarks.shared.sample import Sample
from dmtl.data.loading import noise_key
from dmtl.data.transforms import centred, normalise
from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.inference.folding import load_for_inference
from dmtl.models import read_description
from dmtl.models.shared.method import Method
from dmtl.pictures.colours import palette
from dmtl.pictures.contact_sheet import contact_sheet
from dmtl.pictures.read import distinct_names, find_images, read_image
from dmtl.tasks import Kind, Task
from dmtl.tasks.shared.pixels import upsample

ImageMaps = dict[str, dict[str, np.ndarray]]  # "final", "initial" -> task -> map


@dataclass(frozen=True)
class Predictor:
    """A trained network and what it needs to know about its images."""

    model: Method
    benchmark: Benchmark
    size: tuple[int, int]
    seed: int

    @classmethod
    def load(cls, folder: Path, precision: str | None = None) -> "Predictor":
        """From a model folder.

        Args:
            folder: what a training or `import-official` wrote.
            precision: `32-true` or `bf16-mixed` for a network made ready for inference (`folding.py`); None as it was trained.

        Raises:
            UserError: it holds no complete model, or its model.json does not say of which benchmark and size.
        """
        about = read_description(folder)
        name, size = about.get("benchmark"), about.get("size")
        if not isinstance(name, str) or not isinstance(size, list) or [type(side) for side in size] != [int, int]:
            raise UserError(
                f"{folder / 'model.json'} does not say 'benchmark' and 'size' (those of earlier versions do not): train the cell "
                'again, or add "benchmark": NAME and "size": [height, width] of its training images'
            )
        model = load_for_inference(folder, precision).to("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model, benchmark(name), (size[0], size[1]), int(about.get("seed") or 0))

    @torch.no_grad()
    def __call__(self, image: np.ndarray, name: str) -> ImageMaps:
        """Every prediction for an image, as maps of its size.

        Args:
            image: `(H, W, 3)` uint8 RGB.
            name: what the inference noise is drawn from; a test image's id gives the noise that it is scored with.
        """
        content = Sample(image, {}).brought_to(self.size, self.benchmark.fit, ()).image
        rows, columns = centred(self.size, content.shape[:2])
        canvas = torch.zeros(1, 3, *self.size)
        canvas[0, :, rows, columns] = normalise(
            torch.from_numpy(content.copy()).permute(2, 0, 1).float(), self.model.config.normalisation
        )
        device = next(iter([*self.model.parameters(), *self.model.buffers()])).device
        key = torch.tensor([noise_key(name, self.seed, epoch=-1)], device=device)
        predictions = self.model.predict(canvas.to(device), noise_keys=key)
        kinds, (height, width) = self.model.kinds, image.shape[:2]
        return {
            stage: {t: _decoded(kinds[t], logits[0, :, rows, columns], (height, width)) for t, logits in maps.items()}
            for stage, maps in predictions.items()
            if maps
        }


def _decoded(kind: Kind, logits: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Logits `(C, h, w)` as a map of `size`; classes one channel after the other, since all of a large image do not fit."""
    if not kind.indexed:
        return kind.to_map(kind.decode(upsample(logits[None], size)[0]).cpu().numpy())
    best = torch.full(size, -torch.inf, device=logits.device)
    classes = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for number, channel in enumerate(logits):
        score = upsample(channel[None, None], size)[0, 0]
        better = score > best
        best, classes = torch.where(better, score, best), classes.masked_fill(better, number)
    return classes.cpu().numpy()


def predict_files(
    patterns: Sequence[str],
    folder: Path,
    out: Path,
    tell: Callable[[str], None] | None = None,
    precision: str | None = None,
) -> int:
    """Predict images and write what the module's docstring lists below `out`.

    Args:
        patterns: files, folders or glob patterns.
        folder: of the model.
        out: where the images' folders are made; existing files of the same names are replaced.
        tell: called with one line for each image that cannot be read; standard error if None.
        precision: see `Predictor.load`.

    Returns:
        How many images, or patterns without any, gave nothing.

    Raises:
        UserError: the model cannot be used, or `out` cannot be written.
    """
    files, problems = find_images(patterns)
    tell = tell or (lambda line: tqdm.write(f"error: {line}", file=sys.stderr))
    for problem in problems:
        tell(problem)
    predictor = Predictor.load(folder, precision)
    failed = len(problems)
    for path, name in zip(tqdm(files, "predicting", unit="image", disable=None), distinct_names(files), strict=True):
        try:
            image = read_image(path)
        except UserError as error:
            tell(str(error))
            failed += 1
            continue
        write_predictions(out / name, predictor.benchmark.tasks, str(path), image, predictor(image, path.stem))
    return failed


def write_predictions(folder: Path, tasks: Sequence[Task], title: str, image: np.ndarray, maps: ImageMaps) -> None:
    """Write the pictures, the arrays and the contact sheet of one image with predictions of `tasks`.

    Raises:
        UserError: the folder cannot be written.
    """
    arrays: dict[str, Any] = {}
    for stage, predictions in maps.items():
        for task in tasks:
            values = predictions[task.name]
            _write_picture(folder / stage / f"{task.name}.png", _image(task, values))
            arrays[f"{stage}/{task.name}"] = values.astype(task.kind.compact or values.dtype)
    with replacing(folder / "predictions.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    _write_picture(folder / "sheet.png", contact_sheet(tasks, title, image, maps))


def _image(task: Task, values: np.ndarray) -> Image.Image:
    if not task.kind.indexed:
        return Image.fromarray(task.kind.picture(task, values))
    indexed = Image.fromarray(values)
    indexed.putpalette(palette(task.colours).tobytes())
    return indexed


def _write_picture(path: Path, image: Image.Image) -> None:
    with replacing(path) as temporary:
        image.save(temporary, format="png")
