"""All tasks of one's own image files, from a model folder alone: colour pictures, raw arrays and a contact sheet for each.

Other processes read the next images and write the files of the last ones while the network predicts.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dmtl.inference.prediction import Prediction
from dmtl.inference.predictor import Predictor
from dmtl.parallel import Pool, processes_for
from dmtl.pictures.read import distinct_names, find_images, image_or_problem, printable

MOST_PROCESSES = 4  # a large photo's maps take half a gigabyte in each
AHEAD = 2  # images per process that are read before their turn, or wait to be written


@dataclass(frozen=True)
class Written:
    """What became of the images: the folders that were made, and how many images, or patterns without any, gave nothing."""

    folders: tuple[Path, ...]
    failed: int


def predict_files(
    patterns: Sequence[str],
    predictor: Predictor,
    out: Path,
    tell: Callable[[str], None] | None = None,
    processes: int | None = None,
    batch: int = 1,
    alpha: float | None = None,
) -> Written:
    """Predict images and write what `dmtl.inference.prediction` lists below `out`.

    Args:
        patterns: files, folders or glob patterns.
        predictor: the network.
        out: where the images' folders are made; existing files of the same names are replaced.
        tell: called with one line for each image that cannot be read; standard error if None.
        processes: that read images and write files; None: as many as pay, 0: this one.
        batch: images that go through the network together.
        alpha: see `Prediction.save`.

    Raises:
        UserError: `out` cannot be written, or a process was killed.
    """
    files, problems = find_images(patterns)
    tell = tell or (lambda line: tqdm.write(f"error: {line}", file=sys.stderr))
    for problem in problems:
        tell(printable(problem))
    needed = min(MOST_PROCESSES, processes_for(len(files))) if processes is None else processes
    with Pool(needed, "Predict with --processes 0", AHEAD) as pool, tqdm(files, "predicting", unit="image", disable=None) as bar:
        images = zip(bar, distinct_names(files), pool.map(image_or_problem, files), strict=True)
        folders = tuple(pool.map(partial(_save, alpha=alpha), _predicted(predictor, images, out, tell, batch)))
    return Written(folders, len(problems) + len(files) - len(folders))


def _save(job: tuple[Path, Prediction], alpha: float | None) -> Path:
    folder, prediction = job
    return prediction.save(folder, alpha)


def _predicted(
    predictor: Predictor,
    images: Iterable[tuple[Path, str, np.ndarray | str]],
    out: Path,
    tell: Callable[[str], None],
    batch: int,
) -> Iterator[tuple[Path, Prediction]]:
    """Those images, `(path, folder's name, image)`, that could be read, `batch` at a time; `tell` gets why others could not."""
    waiting: list[tuple[Path, str, np.ndarray]] = []
    for path, name, image in images:
        if isinstance(image, str):
            tell(printable(image))
            continue
        waiting.append((path, name, image))
        if len(waiting) == batch:
            yield from _of_batch(predictor, waiting, out)
            waiting = []
    if waiting:
        yield from _of_batch(predictor, waiting, out)


def _of_batch(
    predictor: Predictor, images: Sequence[tuple[Path, str, np.ndarray]], out: Path
) -> Iterator[tuple[Path, Prediction]]:
    found = predictor.maps([image for *_, image in images], [printable(path.stem) for path, *_ in images])
    for (path, name, image), maps in zip(images, found, strict=True):
        yield out / name, Prediction(printable(path), image, predictor.tasks, maps)
