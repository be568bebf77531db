"""What a training step of each method costs, as a ratio to `mtl_baseline`: `python bench/methods.py [METHOD ...]`.

All methods of the grid take turns in one run on the same images, each with one label, forward and backward pass and optimiser
step, at a size and width of your choice. On the CPU it is processor time that counts, whatever else the machine does. Single-Task
is all of its networks together.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from balance import TASKS, full_batch

from dmtl.config import Cell, Project, for_report, resolve
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.files import CLONE
from dmtl.losses import image_weights
from dmtl.models import build

BASELINE = "mtl_baseline"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main() -> None:
    args = parse_arguments()
    print(f"{args.batch} images of {args.size[0]}x{args.size[1]}, one label each, width {args.width}, {args.repeat} rounds\n")
    print("| method | training step |\n|---|---|")
    for method, ratio in ratios(args).items():
        print(f"| `{method}` | {ratio:.2f} |")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help="names of methods (default: all of the grid)")
    parser.add_argument("--size", type=int, nargs=2, default=[48, 64], help="height and width of the images (%(default)s)")
    parser.add_argument("--width", type=int, default=32, help="channels (%(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="images (%(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds, of which the median counts (%(default)s)")
    return parser.parse_args()


def ratios(args: argparse.Namespace) -> dict[str, float]:
    """Method -> median seconds a step over those of the baseline."""
    project = Project(CLONE)
    grid = for_report(project)
    batch = one_label_batch(args.batch, tuple(args.size)).to(DEVICE)
    steps = {method: step_of(project, method, args.width, batch) for method in grid.methods if wanted(method, args.methods)}
    steps = {method: step for method, step in steps.items() if step}
    times: dict[str, list[float]] = {method: [] for method in steps}
    for _ in range(args.repeat + 1):  # the first warms up
        for method, step in steps.items():
            times[method].append(seconds(step))
    medians = {method: float(np.median(values[1:])) for method, values in times.items()}
    return {method: median / medians[BASELINE] for method, median in medians.items()}


def wanted(method: str, methods: list[str]) -> bool:
    return not methods or method in (BASELINE, *methods)


def step_of(project: Project, method: str, width: int, batch: Batch) -> Callable[[], None] | None:
    """One step of each of the method's networks; None where it trains none, or needs a package that is not there."""
    cell = Cell(benchmark="nyud", setting="onelabel", **for_report(project).methods[method].cell)
    try:
        model = build(resolve(project, cell).network(TASKS).model_copy(update={"width": width})).to(DEVICE).train()
    except UserError as error:
        print(f"{method}: {error}\n")
        return None
    networks = [network for _, network in model.trainings()]
    optimisers = [torch.optim.Adam(network.parameters(), lr=1e-5, fused=True) for network in networks]

    def step() -> None:
        for network, optimiser in zip(networks, optimisers, strict=True):
            optimiser.zero_grad()
            torch.stack(list(network(batch.only(network.tasks)).values())).sum().backward()
            optimiser.step()

    return step if networks else None


def seconds(step: Callable[[], None]) -> float:
    clock = time.perf_counter if DEVICE.type == "cuda" else time.process_time
    start = clock()
    step()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def one_label_batch(count: int, size: tuple[int, int]) -> Batch:
    """Random images, each with a label of one task, the tasks in turn."""
    batch, image = full_batch(count, size), torch.arange(count)
    index = {task: image[t :: len(TASKS)] for t, task in enumerate(TASKS)}
    labels = {task: batch.labels[task][index[task]] for task in TASKS}
    shown = (image[:, None] % len(TASKS) == torch.arange(len(TASKS))).int()
    return replace(batch, labels=labels, image_index=index, image_weights=image_weights(shown, "per_image"))


if __name__ == "__main__":
    main()
