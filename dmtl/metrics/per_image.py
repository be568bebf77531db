"""Each test image's sufficient statistics in one file: all metrics can be computed from it again."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dmtl.config.blocks import NAME
from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.metrics.metric import Metric
from dmtl.reading.bounded import LARGEST_FILE, Npz, parse_json, read_within
from dmtl.tasks import kinds_of

Tables = dict[str, dict[str, np.ndarray]]  # stage ("final", "initial", "ceiling") -> task -> (n, K)
TaskScores = dict[str, dict[str, float]]  # task -> metric -> value
ABOUT = ("cell", "scale", "seed", "fingerprint", "training")
MOST_CHANNELS = 1024
STAGES = ("final", "initial")  # always told; others, such as "ceiling", where a method has them


@dataclass(frozen=True)
class PerImage:
    """What each image of a test set, or of a share of it, adds to every metric of one model.

    Attributes:
        about: `cell`, `scale`, `seed`, `fingerprint`, `training` as in model.json, None where it has none.
        outputs: task -> output channels.
        kinds: what a task is whose name `dmtl.tasks` does not know.
        ids: `(N,)` names of all images of the test set.
        index: `(n,)` int64, ascending: which of them the rows are of.
        tables: stage -> task -> `(n, K)` int64 or float64, a row an image; no `initial` where a method predicts once, and a
            `ceiling` only where it has one.
        labelled: `(n, T)` bool, which labels the images have; None where each has all of them.
    """

    about: dict[str, Any]
    outputs: dict[str, int]
    kinds: dict[str, dict[str, Any]]
    ids: np.ndarray
    index: np.ndarray
    tables: Tables
    labelled: np.ndarray | None = None

    def metrics(self) -> dict[str, Metric]:
        """Task -> its metric."""
        kinds = kinds_of(self.outputs, self.kinds)
        return {task: kinds[task].scorer(channels) for task, channels in self.outputs.items()}

    def measures(self) -> dict[tuple[str, str], tuple[str, bool]]:
        """(task, metric) -> its unit, that of the benchmark where the metric has no own, and whether lower is better."""
        kinds, found = kinds_of(self.outputs, self.kinds), {}
        for task, metric in self.metrics().items():
            for name, (unit, lower) in metric.measures.items():
                found[task, name] = (kinds[task].unit if unit == "as stored" else unit, lower)
        return found

    def scores(self) -> dict[str, TaskScores | None]:
        """`{"final": {task: {metric: value}}, "initial": the same or None}`: rows summed in the images' order, divided once.

        With `ceiling`, likewise, where the method has one.
        """
        stages = dict.fromkeys([*STAGES, *self.tables])
        return {stage: self._stage_scores(self.tables[stage]) if stage in self.tables else None for stage in stages}

    def _stage_scores(self, tables: dict[str, np.ndarray]) -> TaskScores:
        totals = {task: metric.scores(tables[task].sum(axis=0)) for task, metric in self.metrics().items()}
        return {task: {name: float(value) for name, value in values.items()} for task, values in totals.items()}

    def result(self) -> dict[str, Any]:
        """The content of a result file: what was evaluated, and its scores; None, which JSON has, where no pixel counted."""
        metrics = {stage: tasks and _without_nan(tasks) for stage, tasks in self.scores().items()}
        return self.about | {"images": len(self.index), "labels": self.labels(), "metrics": metrics}

    def unscored(self) -> list[str]:
        """The tasks of which no test image has a valid label."""
        return [task for task in self.outputs if task not in self.headline()]

    def headline(self) -> dict[str, float]:
        """Task -> the metric that it is judged by, of the final predictions; without the tasks that have no score."""
        final = {task: next(iter(values.values())) for task, values in (self.scores()["final"] or {}).items()}
        return {task: value for task, value in final.items() if not math.isnan(value)}

    def labels(self) -> dict[str, int]:
        """Task -> the number of images that have a label of it, over which it is scored."""
        count = len(self.index)
        counts = [count] * len(self.outputs) if self.labelled is None else self.labelled.sum(0).tolist()
        return dict(zip(self.outputs, counts, strict=True))

    def save(self, path: Path) -> None:
        """Write the file; equal statistics give equal bytes (NumPy dates every part of it 1980)."""
        header = json.dumps({"about": self.about, "outputs": self.outputs, "kinds": self.kinds})
        arrays: dict[str, Any] = {"header": np.array(header), "id": self.ids, "index": self.index}
        if self.labelled is not None:
            arrays["labelled"] = self.labelled
        arrays |= {f"{stage}/{task}": _narrow(table) for stage, tables in self.tables.items() for task, table in tables.items()}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)


def _without_nan(tasks: TaskScores) -> dict[str, dict[str, float | None]]:
    return {t: {name: None if math.isnan(value) else value for name, value in values.items()} for t, values in tasks.items()}


def _narrow(table: np.ndarray) -> np.ndarray:
    """Counts in four bytes, which no number of pixels in an image exceeds."""
    return table.astype(np.uint32) if table.dtype.kind == "i" else table


def load_per_image(path: Path) -> PerImage:
    """Read what `PerImage.save` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        arrays = Npz(read_within(path, LARGEST_FILE))
        header = parse_json(arrays.text("header"))
        tables: Tables = {}
        for name in arrays.names:
            stage, _, task = name.partition("/")
            if task:
                tables.setdefault(stage, {})[task] = _wide(arrays[name])
        labelled = arrays["labelled"] if "labelled" in arrays.names else None
        images = PerImage(header["about"], header["outputs"], header["kinds"], arrays["id"], arrays["index"], tables, labelled)
        _require_statistics(images)
        return images
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the stage evaluate writes it; run 'dvc repro'") from None
    except (OSError, KeyError, TypeError, ValueError, AttributeError, UserError) as error:
        reason = " ".join(str(error).replace(str(path), "it").split())[:160]
        raise UserError(f"{path} holds no statistics of images ({reason}): evaluate again") from None


def _require_statistics(images: PerImage) -> None:
    """ValueError unless names, shapes, types, counts and ranges are those of an evaluation."""
    count, tasks = len(images.index), list(images.outputs)
    whole = all(re.fullmatch(NAME, task) and type(n) is int and 0 < n <= MOST_CHANNELS for task, n in images.outputs.items())
    if not tasks or not whole or not isinstance(images.kinds, dict) or not set(ABOUT) >= set(images.about):
        raise ValueError("the header names no tasks of an evaluation")
    if images.ids.dtype.kind != "U" or images.ids.ndim != 1 or len(set(images.ids.tolist())) < len(images.ids):
        raise ValueError("'id' names no images, or one twice")
    index = images.index
    if index.dtype.kind != "i" or index.ndim != 1 or not count or (np.diff(index) <= 0).any():
        raise ValueError("'index' is no ascending list of numbers")
    if index[0] < 0 or index[-1] >= len(images.ids):
        raise ValueError(f"'index' names image {index[-1]} of {len(images.ids)}")
    if images.labelled is not None and (images.labelled.dtype != np.bool_ or images.labelled.shape != (count, len(tasks))):
        raise ValueError(f"'labelled' is of type {images.labelled.dtype} and shape {images.labelled.shape}")
    if "final" not in images.tables or not set(images.tables) <= {*STAGES, "ceiling"}:
        raise ValueError(f"its stages are {', '.join(images.tables)[:80]}")
    for stage, tables in images.tables.items():
        if set(tables) != set(tasks):
            raise ValueError(f"'{stage}' has other tasks than the header")
        for task, metric in images.metrics().items():
            table = tables[task]
            if table.shape != (count, metric.width) or table.dtype.kind not in "if":
                raise ValueError(f"'{stage}/{task}' is of type {table.dtype} and shape {table.shape}")
            if not np.isfinite(table).all() or (table < 0).any():
                raise ValueError(f"'{stage}/{task}' holds a number below 0, NaN or infinity")


def _wide(table: np.ndarray) -> np.ndarray:
    return table.astype(np.int64) if table.dtype.kind == "u" else table


def merge(shares: Sequence[PerImage]) -> PerImage:
    """The whole test set from the shares of several processes, in any order: what one process finds, to the last digit.

    Raises:
        UserError: they are of different models or test sets, an image is in two of them or in none.
    """
    first = shares[0]
    for share in shares[1:]:
        same = share.about == first.about and np.array_equal(share.ids, first.ids)
        same = same and (share.outputs, share.kinds) == (first.outputs, first.kinds)
        same = same and (share.labelled is None) == (first.labelled is None)
        if not same or share.tables.keys() != first.tables.keys():
            names = [{key: value for key, value in one.about.items() if key != "training"} for one in (first, share)]
            raise UserError(f"these are shares of different evaluations: {names[0]} and {names[1]}; name those of one")
    index = np.concatenate([share.index for share in shares])
    order = np.argsort(index)
    if not np.array_equal(index[order], np.arange(len(first.ids))):
        missing, twice = len(first.ids) - len(np.unique(index)), len(index) - len(np.unique(index))
        raise UserError(f"of {len(first.ids)} images {missing} are missing and {twice} there twice: name each share once")
    tables = {
        stage: {task: np.concatenate([share.tables[stage][task] for share in shares])[order] for task in first.outputs}
        for stage in first.tables
    }
    there = [share.labelled for share in shares if share.labelled is not None]
    labelled = np.concatenate(there)[order] if there else None
    return PerImage(first.about, first.outputs, first.kinds, first.ids, index[order], tables, labelled)
