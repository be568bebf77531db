"""The training loop, one for all methods (the paper's A.2, models.md 1.2).

Everything random is a function of (seed, epoch, image), so a state is complete with weights, optimiser and position, and a
training that was interrupted ends as one that was not.
"""

import hashlib
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from dmtl.config import Cell, Paths, Train, Training, digest
from dmtl.data.loading import EpochBatches, TrainingSet, training_batches
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.files import write_json
from dmtl.models import build, save_weights
from dmtl.models.method import Method
from dmtl.models.trunk import load_imagenet_weights
from dmtl.tracking import Tracker, track
from dmtl.training.checkpoint import Scratch

History = list[dict[str, Any]]  # one entry an epoch: network, epoch, learning rate, mean losses


@dataclass
class Position:
    """How far a training is: which network, epoch and batch come next, and the losses summed in this epoch so far."""

    network: int = 0
    epoch: int = 0
    batch: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Run:
    """One training under way."""

    training: Training
    shard: Shard
    model: Method
    fabric: Fabric
    scratch: Scratch
    tracker: Tracker
    stop: "StopSignal"
    position: Position = field(default_factory=Position)
    history: History = field(default_factory=list)

    @property
    def recipe(self) -> Train:
        return self.training.recipe


def train(training: Training, paths: Paths) -> None:
    """Train a cell and write its model folder; goes on from the last checkpoint where there is one.

    Raises:
        UserError: the shard is missing, the loss is not finite, or the cell is being trained elsewhere.
        SystemExit: it was told to stop (128 + signal); everything up to the last step is kept.
    """
    name = training.cell.name()
    shard = Shard(paths.shard(training.cell.benchmark, "train"))
    unweighted = [task for task in shard.outputs if task not in training.recipe.task_weights]
    if unweighted:
        raise UserError(f"params.yaml: task_weights of {training.cell.benchmark} lacks '{unweighted[0]}': give it a weight")
    identity = digest(training, _sha256(shard.path), *map(_sha256, code_of(training.cell)))
    with Scratch(paths.root, f"{paths.scale}/{name}", identity) as scratch, track(training, paths, scratch.folder) as tracker:
        torch.manual_seed(training.seed)
        fabric = Fabric(accelerator="auto", devices=1, precision=training.recipe.precision)
        model = build(training.network(shard.outputs))
        if training.recipe.pretrained:
            load_imagenet_weights(model, training.cell.backbone)
        model.to(fabric.device)
        if training.recipe.precision == "bf16-mixed":
            model.to(memory_format=torch.channels_last)  # twice as fast in bf16; no gain for small maps in float32
        with StopSignal() as stop:
            run = Run(training, shard, model, fabric, scratch, tracker, stop)
            _fit_all(run)
        _write_model(run, paths, identity)


def _fit_all(run: Run) -> None:
    """Train the method's networks one after the other."""
    everything = _dataset(run, run.model)
    run.model.prepare(everything.labels())
    networks = list(run.model.trainings())
    datasets = [_dataset(run, network) for _, network in networks]
    steps = [run.recipe.epochs * _batches(data, run.recipe) for data in datasets]
    state = run.scratch.load()
    _restore_position(run, state)
    done = sum(steps[: run.position.network])
    if networks and run.position.network < len(networks):
        done += run.position.epoch * _batches(datasets[run.position.network], run.recipe) + run.position.batch
    with tqdm(total=sum(steps), initial=done, desc=run.training.cell.name(), unit="step", disable=None) as bar:
        for number in range(run.position.network, len(networks)):
            _fit(run, networks[number], datasets[number], state, bar)
            run.position = Position(network=number + 1)
            state = None


def _fit(run: Run, named: tuple[str, Method], data: TrainingSet, state: dict[str, Any] | None, bar: tqdm) -> None:
    """Train one network to the end of its last epoch."""
    name, network = named
    optimiser = torch.optim.Adam(
        network.parameters(), lr=run.recipe.learning_rate, weight_decay=run.recipe.weight_decay, fused=True
    )
    network.train()
    if state is not None:
        run.model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
    module, wrapped = run.fabric.setup(network, optimiser)
    for epoch in range(run.position.epoch, run.recipe.epochs):
        rate = run.recipe.learning_rate * (1 - epoch / run.recipe.epochs) ** run.recipe.poly_power
        for group in wrapped.param_groups:
            group["lr"] = rate
        for batch in training_batches(data, run.recipe.batch, epoch, run.position.batch, run.recipe.workers):
            losses = module(batch.to(run.fabric.device))
            total = torch.stack([run.recipe.task_weights[task] * loss for task, loss in losses.items()]).sum()
            wrapped.zero_grad()
            run.fabric.backward(total)
            run.fabric.clip_gradients(module, wrapped, max_norm=run.recipe.clip, error_if_nonfinite=False)
            wrapped.step()
            for task, loss in {**losses, "total": total}.items():
                run.position.sums[task] = run.position.sums.get(task, 0) + loss.detach().double()
            run.position.batch += 1
            bar.update()
            if run.stop.requested or run.scratch.due():
                _save(run, wrapped.optimizer)
        _end_epoch(run, name, epoch, rate, bar)


def _end_epoch(run: Run, name: str, epoch: int, rate: float, bar: tqdm) -> None:
    """Note the epoch's mean losses and move on to the next."""
    means = {task: float(total) / run.position.batch for task, total in run.position.sums.items()}
    _require_finite(run, means)
    run.history.append({"network": name, "epoch": epoch + 1, "learning_rate": rate, "losses": means})
    run.tracker.log({f"{name}/{task}": value for task, value in means.items()}, step=epoch + 1)
    bar.set_postfix(loss=f"{means['total']:.3f}")
    run.position = Position(network=run.position.network, epoch=epoch + 1)


def _save(run: Run, optimiser: torch.optim.Optimizer) -> None:
    """Write a checkpoint; end the process if it was told to stop."""
    _require_finite(run, {task: float(total) for task, total in run.position.sums.items()})
    state = {
        "model": run.model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "position": vars(run.position),
        "history": run.history,
    }
    run.scratch.save(state)
    run.stop.end_if_requested()


def _restore_position(run: Run, state: dict[str, Any] | None) -> None:
    if state is not None:
        run.position, run.history = Position(**state["position"]), state["history"]
        tqdm.write(f"{run.training.cell.name()}: going on at epoch {run.position.epoch + 1}, batch {run.position.batch + 1}")


def _require_finite(run: Run, losses: dict[str, float]) -> None:
    bad = [task for task, value in losses.items() if value != value or value in (float("inf"), float("-inf"))]
    if bad:
        where = f"epoch {run.position.epoch + 1}, by batch {run.position.batch}"
        raise UserError(f"{run.training.cell.name()}: the loss of {bad[0]} is not finite in {where}; try a lower learning_rate")


def _dataset(run: Run, network: Method) -> TrainingSet:
    training, recipe = run.training, run.recipe
    return TrainingSet(run.shard, training.cell.setting, network.tasks, training.seed, recipe.augmentation)


def _batches(data: TrainingSet, recipe: Train) -> int:
    """Steps an epoch."""
    return len(EpochBatches(len(data), recipe.batch, data.seed, epoch=0))


def _write_model(run: Run, paths: Paths, identity: str) -> None:
    """model.safetensors, history.json and, last, model.json, whose presence therefore means that all is there."""
    folder = paths.model(run.training.cell.name())
    save_weights(folder, run.model)
    write_json(folder / "history.json", run.history)
    description = {
        "cell": run.training.cell.name(),
        "scale": paths.scale,
        "seed": run.training.seed,
        "benchmark": run.training.cell.benchmark,
        "size": list(map(int, run.shard.size)),
        "network": run.training.network(run.shard.outputs).model_dump(mode="json"),
        "identity": identity,
    }
    write_json(folder / "model.json", description)


def code_of(cell: Cell) -> list[Path]:
    """The source files that decide a cell's weights, as dvc.yaml lists them: a checkpoint of other code is not gone on with."""
    package = Path(__file__).resolve().parents[1]
    shared = [f"data/{name}.py" for name in ("batch", "loading", "shards", "transforms")]
    shared += [f"models/{name}.py" for name in ("method", "trunk", "decoders", cell.method)]
    folders = [*package.glob("training/*.py"), *package.glob(f"models/{cell.family}/*.py")]
    return sorted([package / "tasks.py", package / "losses.py", *(package / name for name in shared), *folders])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class StopSignal:
    """SIGTERM and Ctrl-C set a flag, so that the step under way is finished and saved."""

    def __init__(self) -> None:
        self.requested: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def end_if_requested(self) -> None:
        """Leave the process with the signal's exit status."""
        if self.requested is not None:
            raise SystemExit(128 + self.requested)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = number
