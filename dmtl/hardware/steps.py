"""A training step and an inference image of one network on the device at hand: time, memory, share of the peak."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from dmtl.benchmarks import benchmark
from dmtl.config import TrainingConfig
from dmtl.hardware.batches import random_batch
from dmtl.hardware.machine import PeakMemory, milliseconds
from dmtl.inference.folding import Inference
from dmtl.models import build
from dmtl.models.shared.backbone import with_normalisation
from dmtl.models.shared.method import Method
from dmtl.tasks import describe_kinds
from dmtl.training.balance import balance_for
from dmtl.training.compiling import compile_parts
from dmtl.training.devices import launched
from dmtl.training.epoch_losses import EpochLosses
from dmtl.training.fabric import Fabric
from dmtl.training.step import has_channels_last, make_optimiser, place, take_step

WAYS = ("eager", "layout", "compiled", "graphs")  # layout: channels last where a training has them first, and the reverse
Size = tuple[int, int]


def training_step(training: TrainingConfig, size: Size, precision: str, way: str, seconds: float) -> dict[str, Any]:
    """Time a training's step on its own device, by the code of the training loop.

    Args:
        training: whose recipe says the batch, and whose setting how many labels there are.
        size: (height, width) of the images.
        precision: `32-true` or `bf16-mixed`.
        way: of `WAYS`.
        seconds: how long each network of the method is timed.

    Returns:
        `parts`, network -> ms of a step; of all together `outside_ms`, without forward and backward; `tflop` of a step of each
        network together (eager alone); `memory_mb` at most.
    """
    recipe = training.recipe.model_copy(update={"devices": 1, "strategy": "auto", "precision": precision})
    training = training.model_copy(update={"recipe": recipe})
    with launched(recipe) as fabric, PeakMemory(fabric.device) as memory:
        model, full = _network(training), _batch(training, size, "full")
        model.prepare([{task: label[k] for task, label in full.labels.items()} for k in range(len(full.ids))])
        place(model, fabric.device, has_channels_last(recipe) != (way == "layout"))
        timed = {name: _timed(training, network, fabric, size, way, seconds) for name, network in model.trainings()}
    parts = {name: step for name, (step, *_) in timed.items()}
    outside, tflop = (sum(one[k] for one in timed.values()) for k in (1, 2))
    return {"parts": parts, "outside_ms": outside, "tflop": tflop, "memory_mb": memory.megabytes, "batch": recipe.batch}


def inference(training: TrainingConfig, size: Size, precision: str, way: str, seconds: float) -> dict[str, Any]:
    """Time the prediction of all tasks of one image, as `dmtl predict --precision` makes it: `ms` and `memory_mb`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with PeakMemory(device) as memory:
        ready = Inference(_network(training), precision).to(device)
        if way in ("compiled", "graphs"):
            compile_parts(ready.network, "reduce-overhead" if way == "graphs" else True)
        image = torch.randn(1, 3, *size, device=device)
        taken = milliseconds(lambda: ready.predict(image), device, seconds)
    return {"ms": taken, "memory_mb": memory.megabytes}


def _timed(
    training: TrainingConfig, network: Method, fabric: Fabric, size: Size, way: str, seconds: float
) -> tuple[float, float, float]:
    """ms of a step, ms of it outside forward and backward, TFLOP of it."""
    network.begin()
    optimiser, _ = make_optimiser(network, training.recipe)
    balance = balance_for(training, network, fabric)
    network.train()
    if way in ("compiled", "graphs"):
        compile_parts(network, "reduce-overhead" if way == "graphs" else True)
    module, wrapped = fabric.setup(network, optimiser)
    batch = _batch(training, size, training.cell.setting).only(network.tasks)
    if not batch.labels:  # fewer images than tasks
        batch = _batch(training, size, "full").only(network.tasks)
    batch = batch.to(fabric.device)
    sums = EpochLosses(network.tasks, fabric.device, network.figures)

    def step() -> None:
        taken = take_step(fabric, balance, module, wrapped, batch, (0, 0), training.recipe.clip, network.figures)
        sums.add(fabric, taken)

    def passes() -> None:
        wrapped.zero_grad()
        losses = module(batch)
        balance.backward(fabric, {name: loss for name, loss in losses.items() if name not in network.figures}, (0, 0))

    whole = milliseconds(step, fabric.device, seconds)
    inside = milliseconds(passes, fabric.device, seconds)
    return whole, max(0.0, whole - inside), _tflop(step) if way == "eager" else 0.0


def _tflop(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e12


def _network(training: TrainingConfig) -> Method:
    """With random weights, which take as long as any."""
    data = benchmark(training.cell.benchmark)
    torch.manual_seed(0)
    kinds = describe_kinds({task.name: task.kind for task in data.tasks})
    return build(with_normalisation(training.network(data.outputs, kinds)))


def _batch(training: TrainingConfig, size: Size, setting: str) -> Any:
    data = benchmark(training.cell.benchmark)
    return random_batch({task.name: task.kind for task in data.tasks}, data.outputs, size, training.recipe.batch, setting)
