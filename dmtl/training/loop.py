"""The training loop, one for all methods (the paper's A.2).

Everything random is a function of (seed, epoch, image), so a state is complete with weights, optimiser, balance and
position, and a training that was interrupted ends as one that was not.
"""

import json
import signal
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from tqdm import tqdm

from dmtl.config import Paths, Recipe, TrainingConfig
from dmtl.data.loading import EpochBatches, TrainingBatches, TrainingSet
from dmtl.data.shards import Shard
from dmtl.errors import UserError, nearest
from dmtl.files import write_json
from dmtl.models import build, save_weights
from dmtl.models.shared.backbone import load_imagenet_weights, with_normalisation
from dmtl.models.shared.method import Method
from dmtl.tracking.training import Tracker, track
from dmtl.training.balance import Balance, balance_for
from dmtl.training.checkpoint import ResumeState
from dmtl.training.compiling import compile_parts
from dmtl.training.devices import Agreement, launched, share_of, synchronise_batch_norm
from dmtl.training.epoch_losses import GRADIENT, EpochLosses
from dmtl.training.fabric import Fabric
from dmtl.training.fingerprint import Fingerprint, fingerprint_of
from dmtl.training.step import has_channels_last, make_optimiser, place, take_step

History = list[dict[str, Any]]  # one entry per epoch: network, epoch, learning rate, mean losses, balance's weights, figures


@dataclass
class Position:
    """How far a training is: which network, epoch and batch come next, and the state of this epoch's `EpochLosses` so far."""

    network: int = 0
    epoch: int = 0
    batch: int = 0
    losses: dict[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """One training under way."""

    training: TrainingConfig
    shard: Shard
    model: Method
    fabric: Fabric
    fingerprint: Fingerprint
    resume: ResumeState
    tracker: Tracker
    stop: "StopSignal"
    balance: Balance = field(init=False)  # of the network under training
    position: Position = field(default_factory=Position)
    history: History = field(default_factory=list)

    @property
    def recipe(self) -> Recipe:
        return self.training.recipe


def train(training: TrainingConfig, paths: Paths) -> None:
    """Train a cell and write its model folder; goes on from the last checkpoint where there is one.

    Raises:
        UserError: the shard is missing, the loss is not finite, or the cell is being trained elsewhere.
        SystemExit: it was told to stop (128 + signal); everything up to the last step is kept.
    """
    shard = Shard(paths.shard(training.cell.benchmark, "train"))
    _require_weights(training, shard)
    fingerprint = fingerprint_of(training, shard.path)
    with ExitStack() as stack:
        fabric = stack.enter_context(launched(training.recipe))
        first = fabric.is_global_zero
        name = f"{paths.scale}/{training.name}"
        resume = stack.enter_context(ResumeState(paths.root, name, fingerprint, owner=first))
        tracker = stack.enter_context(track(training, paths, resume.folder, fingerprint)) if first else Tracker()
        model = _network(training, shard, fabric)
        stop = stack.enter_context(StopSignal())
        run = Run(training, shard, model, fabric, fingerprint, resume, tracker, stop)
        _fit_all(run)
        if first:
            _write_model(run, paths)


def _require_weights(training: TrainingConfig, shard: Shard) -> None:
    """UserError where the recipe's task weights are not of the shard's tasks."""
    where, weights = f"params.yaml: task_weights of {training.cell.benchmark}", training.recipe.task_weights
    for task in shard.outputs:
        if task not in weights:
            raise UserError(f"{where} lacks '{task}': give it a weight")
    for task in weights:
        if task not in shard.outputs:
            raise UserError(f"{where}: '{task}' is not one of its tasks; {nearest(task, shard.outputs)}")


def _network(training: TrainingConfig, shard: Shard, fabric: Fabric) -> Method:
    """A freshly initialised network, the same in every process."""
    torch.manual_seed(training.seed)
    model = build(with_normalisation(training.network(shard.outputs, shard.described_kinds)))
    if training.pretrained:
        load_imagenet_weights(model, training.cell.backbone)
    synchronise_batch_norm(model, fabric)
    place(model, fabric.device, has_channels_last(training.recipe))
    return model


def _fit_all(run: Run) -> None:
    """Train the method's networks one after the other."""
    everything = _dataset(run, run.model)
    run.model.prepare(everything.labels())
    networks = list(run.model.trainings())
    datasets = [_dataset(run, network) for _, network in networks]
    steps = [run.recipe.epochs * _batches(data, run.recipe) for data in datasets]
    state = run.resume.load()
    _restore_position(run, state)
    done = sum(steps[: run.position.network])
    if networks and run.position.network < len(networks):
        done += run.position.epoch * _batches(datasets[run.position.network], run.recipe) + run.position.batch
    with tqdm(total=sum(steps), initial=done, desc=run.training.name, unit="step", disable=_quiet(run)) as bar:
        for number in range(run.position.network, len(networks)):
            _fit(run, networks[number], datasets[number], state, bar)
            run.position = Position(network=number + 1)
            state = None


def _fit(run: Run, named: tuple[str, Method], data: TrainingSet, state: dict[str, Any] | None, bar: tqdm) -> None:
    """Train one network to the end of its last epoch."""
    name, network = named
    if state is None:
        network.begin()
    optimiser, own_rates = make_optimiser(network, run.recipe)
    run.balance = balance_for(run.training, network, run.fabric)
    network.train()
    if state is not None:
        run.model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        run.balance.load_state_dict(state["balance"])
    if run.recipe.compile:
        compile_parts(network, run.recipe.compile)
    module, wrapped = run.fabric.setup(network, optimiser)
    stop = Agreement(run.fabric)
    loading = TrainingBatches(data, run.recipe.batch, run.recipe.workers, run.training.optim.label_balance, share_of(run.fabric))
    with loading as batches:
        for epoch in range(run.position.epoch, run.recipe.epochs):
            rate = run.recipe.learning_rate * (1 - epoch / run.recipe.epochs) ** run.recipe.poly_power
            for group, own_rate in zip(wrapped.param_groups, own_rates, strict=True):
                group["lr"] = own_rate(epoch) if own_rate else rate
            epoch_losses = EpochLosses(network.tasks, run.fabric.device, network.figures)
            if run.position.losses:
                epoch_losses.load_state_dict(run.position.losses)
            for batch in batches.epoch(epoch, run.position.batch):
                on_device, at = batch.to(run.fabric.device), (run.position.epoch, run.position.batch)
                step = take_step(run.fabric, run.balance, module, wrapped, on_device, at, run.recipe.clip, network.figures)
                epoch_losses.add(run.fabric, step)
                run.position.batch += 1
                bar.update()
                signalled = stop(run.stop.requested)
                if signalled or run.resume.due():
                    _save(run, wrapped.optimizer, epoch_losses, signalled)
            _end_epoch(run, name, rate, epoch_losses, bar)


def _end_epoch(run: Run, name: str, rate: float, losses: EpochLosses, bar: tqdm) -> None:
    """Note the epoch's mean losses and move on to the next."""
    _require_finite(run, losses)
    means, epoch = losses.means(run.position.batch), run.position.epoch + 1
    weights, figures = run.balance.end_epoch(), losses.figures()
    entry = {"network": name, "epoch": epoch, "learning_rate": rate, "losses": means}
    run.history.append(entry | ({"weights": weights} if weights else {}) | ({"figures": figures} if figures else {}))
    noted = means | {f"weight/{task}": value for task, value in weights.items()} | figures
    run.tracker.log({f"{name}/{task}": value for task, value in noted.items()}, step=epoch)
    bar.set_postfix(loss=f"{means['total']:.3f}")
    if bar.disable and run.fabric.is_global_zero:  # in a log an epoch is a line
        print(f"{run.training.name}: {name}, epoch {epoch} of {run.recipe.epochs}, loss {means['total']:.3f}", flush=True)
    run.position = Position(network=run.position.network, epoch=epoch)


def _save(run: Run, optimiser: torch.optim.Optimizer, losses: EpochLosses, signalled: int | None) -> None:
    """Write a checkpoint; end the process if it was told to stop."""
    _require_finite(run, losses)
    state = {
        "model": run.model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "balance": run.balance.state_dict(),
        "position": {**vars(run.position), "losses": losses.state_dict()},
        "history": run.history,
    }
    try:
        run.resume.save(state)
    except UserError as error:
        if signalled:
            raise
        tqdm.write(f"warning: {error}; the previous checkpoint stays and the training goes on")
    if signalled:
        run.fabric.barrier()  # the first process has saved
        raise SystemExit(128 + signalled if run.fabric.is_global_zero else 0)


def _restore_position(run: Run, state: dict[str, Any] | None) -> None:
    if state is not None:
        run.position, run.history = Position(**state["position"]), state["history"]
        if run.fabric.is_global_zero:
            where = f"epoch {run.position.epoch + 1}, batch {run.position.batch + 1}"
            tqdm.write(f"{run.training.name}: going on at {where}")


def _require_finite(run: Run, losses: EpochLosses) -> None:
    """Stop before a checkpoint is written over a good one; the first process tells for all."""
    bad = losses.first_bad() if run.fabric.is_global_zero else None
    if bad is None:
        return
    name, step = bad
    _, network = list(run.model.trainings())[run.position.network]
    data = _dataset(run, network)
    order = EpochBatches(len(data), run.recipe.batch, data.seed, run.position.epoch, start=step)
    images = ", ".join(data.ids(index for _, index in next(iter(order))))
    what = "gradient" if name == GRADIENT else f"loss of {name}"
    raise UserError(
        f"{run.training.name}: the {what} is not finite in epoch {run.position.epoch + 1}, batch {step + 1} "
        f"(images {images}); the last good checkpoint, if any, stays in {run.resume.folder}; try a lower learning_rate"
    )


def _quiet(run: Run) -> bool | None:
    """No progress bar but the first process's, and that on a terminal."""
    return None if run.fabric.is_global_zero else True


def _dataset(run: Run, network: Method) -> TrainingSet:
    training, recipe = run.training, run.recipe
    normalisation = run.model.config.normalisation
    return TrainingSet(
        run.shard, training.cell.setting, network.tasks, training.seed, recipe.augmentation, normalisation, network.every_image
    )


def _batches(data: TrainingSet, recipe: Recipe) -> int:
    """Steps an epoch."""
    return len(EpochBatches(len(data), recipe.batch, data.seed, epoch=0))


def _write_model(run: Run, paths: Paths) -> None:
    """model.safetensors, history.json and, last, model.json, whose presence therefore means that all is there."""
    folder = paths.model(run.training.name)
    save_weights(folder, run.model)
    write_json(folder / "history.json", run.history)
    description = {
        "cell": run.training.name,
        "scale": paths.scale,
        "seed": run.training.seed,
        "benchmark": run.training.cell.benchmark,
        "size": list(map(int, run.shard.size)),
        "network": run.model.config.model_dump(mode="json"),
        "precision": run.recipe.precision,
        "fingerprint": run.fingerprint.value,
        "training": run.fingerprint.config,
    }
    if described := run.shard.about.get("described"):
        description["described"] = json.loads(described)
    write_json(folder / "model.json", description)


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

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = number
