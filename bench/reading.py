"""Rendering, building and reading PASCAL-like samples, shards against the raw tree in one run: `python bench/reading.py`.

Reading is timed in processor time of one core, image and all five labels, on files that the system has in its cache.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dmtl.benchmarks.pascal import files as pascal
from dmtl.config import IMAGENET, Data, Paths, ScalePadCrop
from dmtl.data.shards import Shard
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards

AUGMENTATION = ScalePadCrop(
    kind="scale_pad_crop", scales=(0.5, 2.0), cat_max_ratio=0.75, crop_by_hidden_label=False, flip=True, photometric=True
)  # the paper's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64, help="how many are rendered (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="loading processes (%(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="passes, of which the fastest counts (%(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw = Raw(
            "pascal",
            Data(source="synthetic", size=(512, 512), train=args.images, val=1),
            0,
            Paths(root=Path(folder), scale="bench"),
        )
        print(f"rendering {args.images + 1} snapshots  {wall(raw.obtain):8.1f} s, {os.cpu_count()} cores")
        raw.write_manifest()
        print(f"building their shards    {wall(lambda: build_shards(raw)):8.1f} s, {memory()} MB in the largest process")
        root, shard = raw.obtain(), Shard(raw.paths.shard("pascal", "train"))
        print(f"size                     {shard.path.stat().st_size / len(shard) / 1e6:8.2f} MB a sample in all tasks")
        from_tree = reading(lambda k: pascal.read(root, "train", shard.ids[k]), len(shard), args.repeat)
        from_shard = reading(lambda k: everything(shard, k), len(shard), args.repeat)
        print(f"read from the raw tree   {from_tree:8.1f} ms a sample")
        print(f"read from shards         {from_shard:8.1f} ms a sample, {from_tree / from_shard:.1f} times as fast")
        for setting in ("onelabel", "full"):
            data = training_set(shard, setting)
            cost = reading(lambda k, data=data: data[0, k], len(data), args.repeat)
            rate = loading(data, args.workers)
            print(f"loaded for training      {cost:8.1f} ms a sample, augmented, setting {setting}")
            print(f"                         {rate:8.1f} samples/s with {args.workers} workers")


def wall(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory() -> int:
    """The largest resident size of this process or a child, MB."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // 1024


def reading(read: Callable[[int], object], count: int, repeat: int) -> float:
    """Processor time a sample, ms: the mean over samples of each one's fastest pass, so that other work counts little."""
    passes = np.empty((repeat, count))
    for row in passes:
        for k in range(count):
            start = time.process_time()
            read(k)
            row[k] = time.process_time() - start
    return float(passes.min(0).mean() * 1e3)


def everything(shard: Shard, k: int) -> list[np.ndarray]:
    return [shard.image(k), *(shard.label(task, k) for task in shard.outputs)]


def training_set(shard: Shard, setting: str) -> Any:
    """The set of images as a training sees them."""
    import torch  # rendering and building do without

    from dmtl.data.loading import TrainingSet

    torch.set_num_threads(1)
    return TrainingSet(shard, setting, tuple(shard.outputs), 0, AUGMENTATION, IMAGENET)


def loading(data: Any, workers: int) -> float:
    """Samples a second of one epoch in batches of six, after the workers have started."""
    from dmtl.data.loading import TrainingBatches

    batches = iter(TrainingBatches(data, 6, workers, "per_image").epoch(0))
    next(batches)
    start, loaded = time.perf_counter(), 0
    for batch in batches:
        loaded += len(batch.images)
    return loaded / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
