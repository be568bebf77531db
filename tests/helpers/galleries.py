"""Made-up pictures of test images."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from dmtl.benchmarks import benchmark
from dmtl.evaluation.gallery import COUNT, Gallery
from dmtl.tasks import Task

SIZES = {"nyud": (48, 64), "cityscapes": (32, 64), "pascal": (64, 64)}


def made_up(name: str, method: str, count: int = COUNT) -> Gallery:
    """A gallery of smooth random maps at the demo's sizes; PASCAL's images are of different heights."""
    rng = np.random.default_rng(len(method))
    height, width = SIZES[name]
    tasks = benchmark(name).tasks
    stages = ["final"] + (["initial", "noisy"] if "diffusion" in method else []) + (["label"] if method == "mtl_baseline" else [])
    maps = {(stage, task.name): _maps(rng, task, stage, count, (height, width)) for stage in stages for task in tasks}
    spans = {task.name: _span(task, [maps[stage, task.name] for stage in stages]) for task in tasks}
    kinds = {task.name: task.kind for task in tasks}
    arrays = {
        f"{stage}/{task}": np.stack([kinds[task].to_bytes(values, spans[task]) for values in several])
        for (stage, task), several in maps.items()
    }
    if method == "mtl_baseline":
        photos = [np.moveaxis(_blobs(rng, (3, height, width)) * 8 + 128, 0, -1) for _ in range(count)]
        arrays["image"] = np.stack([photo.clip(0, 255).astype(np.uint8) for photo in photos])
    content = np.array([(height - (4 * k if name == "pascal" else 0), width) for k in range(count)], np.int32)
    about = {"cell": f"{name}-onelabel-{method}", "benchmark": name, "method": method, "spans": spans, "kinds": {}}
    return Gallery(about | {"ids": [f"{10 * k + 2}" for k in range(count)]}, content, arrays)


def _blobs(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return 25 * gaussian_filter(rng.normal(size=shape), (0, 5, 5)).astype(np.float32)


def _maps(rng: np.random.Generator, task: Task, stage: str, count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Decoded maps of a stage; labels are missing in a corner."""
    maps = []
    for _ in range(count):
        logits = _blobs(rng, (task.channels, *size)) + (0.5 if stage == "noisy" else 0) * rng.normal(size=(task.channels, *size))
        values = task.kind.to_map(task.kind.decode(torch.from_numpy(logits.astype(np.float32))).numpy())
        if stage == "label":
            values = values.copy()
            values[:6, :9] = 255 if task.kind.indexed else np.nan
        maps.append(values)
    return maps


def _span(task: Task, stages: list[list[np.ndarray]]) -> tuple[float, float]:
    """The values that bytes tell apart of all of a task's maps."""
    return task.kind.span(np.concatenate([values.ravel() for maps in stages for values in maps]))
