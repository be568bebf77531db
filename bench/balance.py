"""What each choice of `optim.balance` costs a step, as a ratio to `fixed`: `python bench/balance.py`.

One run measures all of them in turns on the same batch, forward and backward pass and optimiser step, on networks of the
project's own layers. On the CPU it is processor time that counts, whatever else the machine does. Choices whose packages are not
installed are named and left out.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric

from dmtl.benchmarks import benchmark
from dmtl.config import NetworkConfig, Optim, Project, for_training
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.losses import image_weights
from dmtl.models import build
from dmtl.training.balance import Balance, balance_for

ROOT = Path(__file__).resolve().parents[1]

TASKS = benchmark("nyud").outputs

CHOICES = Optim.model_fields["balance"].annotation.__args__  # type: ignore[union-attr]
METHODS = ("mtl_baseline", "diffusion_prediction", "diffusion_feature")


def main() -> None:
    args = parse_arguments()
    print(
        f"{args.batch} images of {args.size[0]}x{args.size[1]}, width {args.width}, every task labelled, {args.repeat} rounds\n"
    )
    print("| `optim.balance` | " + " | ".join(f"`{method}`" for method in METHODS) + " |")
    print("|---" * (len(METHODS) + 1) + "|")
    columns = {method: ratios(method, args) for method in METHODS}
    for choice in CHOICES:
        cells = [f"{columns[method][choice]:.2f}" if choice in columns[method] else "not installed" for method in METHODS]
        print(f"| `{choice}` | " + " | ".join(cells) + " |")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=[48, 64], help="height and width of the images (%(default)s)")
    parser.add_argument("--width", type=int, default=32, help="channels (%(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="images (%(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds, of which the median counts (%(default)s)")
    return parser.parse_args()


def ratios(method: str, args: argparse.Namespace) -> dict[str, float]:
    """Choice -> median seconds a step over those of `fixed`."""
    fabric = Fabric(accelerator="auto", devices=1)
    batch = full_batch(args.batch, tuple(args.size)).to(fabric.device)
    network = network_of(method, args.width).to(fabric.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-5, fused=True)
    balances = {choice: made for choice in CHOICES if (made := balance_of(choice, method, network, fabric))}
    clock = time.perf_counter if fabric.device.type == "cuda" else time.process_time
    times: dict[str, list[float]] = {choice: [] for choice in balances}
    for _ in range(args.repeat + 1):  # the first warms up
        for choice, balance in balances.items():
            start = clock()
            optimiser.zero_grad()
            balance.backward(fabric, network(batch), (0, 0))
            optimiser.step()
            if fabric.device.type == "cuda":
                torch.cuda.synchronize()
            times[choice].append(clock() - start)
    medians = {choice: float(np.median(values[1:])) for choice, values in times.items()}
    return {choice: seconds / medians["fixed"] for choice, seconds in medians.items()}


def balance_of(choice: str, method: str, network: torch.nn.Module, fabric: Fabric) -> Balance | None:
    """The balance of a choice, or None where what it needs is not installed."""
    training = for_training(Project(ROOT), f"nyud-full-{method}")
    optim = training.optim.model_copy(update={"balance": choice})
    try:
        return balance_for(training.model_copy(update={"optim": optim}), network, fabric)  # type: ignore[arg-type]
    except UserError:
        return None


def network_of(method: str, width: int) -> torch.nn.Module:
    training = for_training(Project(ROOT), f"nyud-full-{method}")
    network: NetworkConfig = training.network(TASKS).model_copy(update={"width": width})
    return build(network).train()


def full_batch(count: int, size: tuple[int, int]) -> Batch:
    """Random images, each with a label of every task."""
    labels = {
        "semseg": torch.randint(0, TASKS["semseg"], (count, 1, *size)).float(),
        "depth": torch.rand(count, 1, *size),
        "normals": F.normalize(torch.randn(count, 3, *size), dim=1),
    }
    index = {task: torch.arange(count) for task in TASKS}
    weights = image_weights(torch.ones(count, len(TASKS)), "per_image")
    return Batch(tuple(map(str, range(count))), torch.randn(count, 3, *size), torch.arange(count), labels, index, weights)


if __name__ == "__main__":
    main()
