"""Images a second that loading and augmentation give, by the number of loading processes."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dmtl.config import IMAGENET, Data, Paths, Project, TrainingConfig, for_download
from dmtl.data.loading import TrainingBatches, TrainingSet
from dmtl.data.shards import Shard

WORKERS = (0, 1, 2, 4, 8, 12)
SCENES = 8  # batches' worth of synthetic images where there is no shard


def worker_counts() -> list[int]:
    """Those of `WORKERS` that the machine has cores for, and 0."""
    return [count for count in WORKERS if count <= (os.cpu_count() or 1)]


def loading_rates(project: Project, training: TrainingConfig, seconds: float) -> dict[str, float]:
    """Number of loading processes -> images a second, each measured for so many seconds after its first epoch.

    Of the project's own shard where it is there, and of one of synthetic scenes of the same size elsewhere.
    """
    with _shard(project, training) as shard:
        tasks = tuple(shard.outputs)
        recipe = training.recipe
        data = TrainingSet(shard, training.cell.setting, tasks, 0, recipe.augmentation, IMAGENET)
        return {str(workers): _rate(data, recipe.batch, workers, seconds) for workers in worker_counts()}


def _rate(data: TrainingSet, batch: int, workers: int, seconds: float) -> float:
    images, begun = 0, 0.0
    with TrainingBatches(data, batch, workers, "per_image") as batches:
        epoch = 0
        while True:
            for one in batches.epoch(epoch):
                images += len(one.ids) if epoch else 0
            epoch += 1
            begun = begun or time.perf_counter()
            if (taken := time.perf_counter() - begun) >= seconds and images:
                return images / taken


@contextmanager
def _shard(project: Project, training: TrainingConfig) -> Iterator[Shard]:
    name = training.cell.benchmark
    own = project.paths.shard(name, "train")
    if own.is_file():
        yield Shard(own)
        return
    from dmtl.prepare.obtain import Raw  # what reads raw files is needed here alone, and not everywhere there
    from dmtl.prepare.shards import build_shards

    with tempfile.TemporaryDirectory() as folder:
        wanted, seed = for_download(project, name)
        scenes = Data(source="synthetic", size=wanted.size, train=SCENES * training.recipe.batch, val=1)
        paths = Paths(root=Path(folder), scale=project.paths.scale)
        raw = Raw(name, scenes, seed, paths)
        raw.write_manifest()
        build_shards(raw)
        yield Shard(paths.shard(name, "train"))
