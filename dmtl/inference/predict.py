"""All tasks of one's own images, from a model folder alone: colour pictures, raw arrays and a contact sheet for each image.

The network sees an image as in training and evaluation: at the benchmark's size, filling it or scaled down where it is
larger and padded, as the benchmark says. So a test image gets the predictions that are scored, and any size will do. Predictions
are brought back to the image's size before they are decoded. Other processes read the next images and write the files of the last
ones meanwhile.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dmtl.benchmarks import benchmark
from dmtl.benchmarks.folder import described_tasks
from dmtl.benchmarks.shared.sample import Fit, Sample
from dmtl.data.loading import noise_key
from dmtl.data.transforms import centred, normalise
from dmtl.errors import UserError
from dmtl.inference.files import ImageMaps, PredictedImage, write_files
from dmtl.inference.folding import load_for_inference
from dmtl.models import read_description
from dmtl.models.shared.method import Method
from dmtl.parallel import Pool, processes_for
from dmtl.pictures.read import distinct_names, find_images, image_or_problem, printable
from dmtl.tasks import Kind, Task
from dmtl.tasks.shared.pixels import upsample

MOST_PROCESSES = 4  # a large photo's maps take half a gigabyte in each
AHEAD = 2  # images per process that are read before their turn, or wait to be written


@dataclass(frozen=True)
class Predictor:
    """A trained network and what it needs to know about its images."""

    model: Method
    tasks: tuple[Task, ...]
    fit: Fit
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
        if (own := about.get("described")) is None:
            tasks, fit = benchmark(name).tasks, benchmark(name).fit
        else:  # a user's own benchmark, which its models describe
            tasks, fit = described_tasks(own), own["fit"]
        return cls(model, tasks, fit, (size[0], size[1]), int(about.get("seed") or 0))

    @torch.no_grad()
    def __call__(self, image: np.ndarray, name: str) -> ImageMaps:
        """Every prediction for an image, as maps of its size.

        Args:
            image: `(H, W, 3)` uint8 RGB.
            name: what the inference noise is drawn from; a test image's id gives the noise that it is scored with.
        """
        content = Sample(image, {}).brought_to(self.size, self.fit, ()).image
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
        classes.masked_fill_(score > best, number)
        torch.maximum(best, score, out=best)
    return classes.cpu().numpy()


def predict_files(
    patterns: Sequence[str],
    folder: Path,
    out: Path,
    tell: Callable[[str], None] | None = None,
    precision: str | None = None,
    processes: int | None = None,
) -> int:
    """Predict images and write what `dmtl.inference.files` lists below `out`.

    Args:
        patterns: files, folders or glob patterns.
        folder: of the model.
        out: where the images' folders are made; existing files of the same names are replaced.
        tell: called with one line for each image that cannot be read; standard error if None.
        precision: see `Predictor.load`.
        processes: that read images and write files; None: as many as pay, 0: this one.

    Returns:
        How many images, or patterns without any, gave nothing.

    Raises:
        UserError: the model cannot be used, `out` cannot be written, or a process was killed.
    """
    files, problems = find_images(patterns)
    tell = tell or (lambda line: tqdm.write(f"error: {line}", file=sys.stderr))
    for problem in problems:
        tell(printable(problem))
    predictor, written = Predictor.load(folder, precision), 0
    needed = min(MOST_PROCESSES, processes_for(len(files))) if processes is None else processes
    with Pool(needed, "Predict with --processes 0", AHEAD) as pool, tqdm(files, "predicting", unit="image", disable=None) as bar:
        images = zip(bar, distinct_names(files), pool.map(image_or_problem, files), strict=True)
        for _ in pool.map(write_files, _predicted(predictor, images, out, tell)):
            written += 1
    return len(problems) + len(files) - written


def _predicted(
    predictor: Predictor, images: Iterable[tuple[Path, str, np.ndarray | str]], out: Path, tell: Callable[[str], None]
) -> Iterator[PredictedImage]:
    """Those images, `(path, folder's name, image)`, that could be read; `tell` gets why the others could not."""
    for path, name, image in images:
        if isinstance(image, str):
            tell(printable(image))
        else:
            maps = predictor(image, printable(path.stem))
            yield PredictedImage(out / name, printable(path), image, predictor.tasks, maps)
