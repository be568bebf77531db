"""Milliseconds an image of the metrics but boundary (bench/odsf.py), and seconds of a comparison: `python bench/metrics.py`.

Counting is timed on class maps, probabilities, normals and depth as networks give them, one core; what comes before it (bilinear
upsampling from a quarter of the size, argmax, softmax) is timed apart.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from dmtl.report.bootstrap import draw_images
from dmtl.tasks import kind_of
from dmtl.tasks.shared.pixels import upsample

CHANNELS = {"semseg": 21, "human_parts": 7, "saliency": 2, "normals": 3, "depth": 1}
WIDTHS = {"semseg": 63, "human_parts": 21, "saliency": 49, "normals": 235, "boundary": 206}  # statistics of PASCAL's tasks
MOST_MILLISECONDS = 10.0
"""What counting may take for all tasks of a 512x512 image together."""


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    count_all(arguments.size, arguments.repeat)
    print(
        f"\n{bootstrap_seconds(arguments.images, arguments.draws):.2f} s of processor time: sums of {arguments.draws} draws of ",
        end="",
    )
    print(f"{arguments.images} images, three cells with PASCAL's {sum(WIDTHS.values())} statistics an image")
    for what in ("dmtl.evaluation.evaluate, dmtl.models.diffusion_feature", "dmtl.metrics.boundary", "dmtl.report.compare"):
        print(f"{import_seconds(what):.2f} s to import {what}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the image (%(default)s)")
    parser.add_argument("--repeat", type=int, default=30, help="runs, of which the fastest counts (%(default)s)")
    parser.add_argument("--images", type=int, default=5105, help="of the test set that is drawn from (%(default)s)")
    parser.add_argument("--draws", type=int, default=2000, help="(%(default)s)")
    return parser.parse_args()


def count_all(size: int, repeat: int) -> None:
    """A line a task, and the sum of the counting."""
    print(
        f"milliseconds of processor time, {size}x{size}, fastest of {repeat}\n"
        f"{'task':<12} {'upsample':>9} {'decode':>9} {'count':>9}"
    )
    total = 0.0
    for task, channels in CHANNELS.items():
        kind, (logits, label) = kind_of(task), example(task, channels, size)
        metric = kind.scorer(channels)
        prediction = upsample(logits[None], (size, size))[0]
        decoded = kind.decode(prediction)
        runs: list[Callable[[], object]] = [
            lambda: upsample(logits[None], (size, size)),  # noqa: B023 (called at once)
            lambda: kind.decode(prediction),  # noqa: B023
            lambda: metric.statistics(decoded, label),  # noqa: B023
        ]
        times = [milliseconds(run, repeat) for run in runs]
        total += times[-1]
        print(f"{task:<12} {times[0]:>9.2f} {times[1]:>9.2f} {times[2]:>9.2f}")
    print(f"{'all counting':<32} {total:>9.2f}   (at most {MOST_MILLISECONDS:g} at 512x512)")


def example(task: str, channels: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A prediction at a quarter of the size, and a label of which every pixel counts."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(channels, size // 4, size // 4, generator=generator)
    if task in ("normals", "depth"):
        return logits, torch.rand(3 if task == "normals" else 1, size, size, generator=generator) + 0.1
    return logits, torch.randint(0, channels, (1, size, size), generator=generator).float()


def milliseconds(run: Callable[[], object], repeat: int) -> float:
    run()
    times = []
    for _ in range(repeat):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def bootstrap_seconds(images: int, draws: int) -> float:
    """Drawing, and one product of matrices for each of three cells."""
    tables = [np.random.default_rng(0).random((images, width)) for width in WIDTHS.values()]
    start = time.process_time()
    counts = draw_images(images, draws, np.random.default_rng(0))
    for _ in range(3):
        for table in tables:
            counts @ table
    return time.process_time() - start


def import_seconds(modules: str) -> float:
    """Processor time of a fresh process that imports them."""
    script = f"import time; import {modules}; print(time.process_time())"
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
