"""Every cell of the grid trains: it builds, one step moves what should move, and hidden labels are never learned from."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from helpers.project import ROOT, tiny_params, write_project

from dmtl.benchmarks import benchmark, benchmark_names
from dmtl.config import IMAGENET, Project, ScaleCrop, TrainingConfig, for_training
from dmtl.data.batch import Batch
from dmtl.data.loading import TrainingBatches, TrainingSet
from dmtl.data.shards import Shard
from dmtl.models import build
from dmtl.models.shared.method import Method

CELLS = yaml.safe_load((ROOT / "grid.yaml").read_text())["cells"]
pytestmark = pytest.mark.usefixtures("narrow")
BENCHMARKS = tuple(benchmark_names())
SIZE, COUNT = (32, 64), 6
IDLE = {"no_conditioning", "invpt"}  # the methods that may have parameters that nothing uses
UNASKED = {"cityscapes-onelabel-task_attention": (".query.", ".key.")}  # of two tasks the other has all the weight anyhow
PLAIN = ScaleCrop(kind="scale_crop", zooms=(1.0,), flip=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project with a shard of noise of each benchmark, laid out as `dmtl.data.shards` says."""
    folder = write_project(tmp_path_factory.mktemp("cells"), tiny_params())
    for name in BENCHMARKS:
        _write_shard(folder / f"{name}.h5", benchmark(name).outputs)
    return folder


def _label(task: str, channels: int, rng: np.random.Generator) -> np.ndarray:
    if task == "depth":
        return rng.uniform(0.5, 5, SIZE).astype(np.float32)
    if task == "normals":
        vectors = rng.normal(size=(*SIZE, 3))
        return (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)
    return rng.integers(0, max(2, channels), SIZE).astype(np.uint8)


def _mask(setting: str, tasks: int) -> np.ndarray:
    """Every task is shown somewhere; `randomlabels` hides one task of each image, another each time."""
    shown = np.arange(COUNT)[:, None] % tasks == np.arange(tasks)
    return {"onelabel": shown, "randomlabels": ~shown, "full": shown | True}[setting].astype(np.uint8)


def _write_shard(path: Path, outputs: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["outputs"] = json.dumps(outputs)
        file["id"] = np.array([str(k).encode() for k in range(COUNT)])
        file["image"] = rng.integers(0, 256, (COUNT, *SIZE, 3), dtype=np.uint8)
        for name in ("original_size", "content_size"):
            file[name] = np.tile(np.int32(SIZE), (COUNT, 1))
        for setting in benchmark("nyud").settings:
            file[f"label_mask/{setting}"] = _mask(setting, len(outputs))
        for task, channels in outputs.items():
            file[task] = np.stack([_label(task, channels, rng) for _ in range(COUNT)])


@cache
def _batch(path: Path, setting: str, tasks: tuple[str, ...]) -> Batch:
    """All of a shard's images with what the setting shows of `tasks`, through the loader."""
    data = TrainingSet(Shard(path), setting, tasks, 0, PLAIN, IMAGENET)
    (batch,) = TrainingBatches(data, COUNT, 0, "per_image").epoch(0)
    return batch


@cache
def _project(folder: Path) -> Project:
    """Read once, since nothing here changes its files."""
    return Project(folder)


def _network(folder: Path, cell: str) -> tuple[TrainingConfig, Method]:
    training = for_training(_project(folder), cell)
    torch.manual_seed(0)
    return training, build(training.network(benchmark(training.cell.benchmark).outputs))


def _steps(network: Method, batch: Batch) -> tuple[float, set[int]]:
    """Two steps of the optimiser, the first of which wakes layers that begin at zero: the loss, and which parameters moved."""
    network.train()
    groups = [{"params": group["params"]} for group in network.parameter_groups()]
    optimiser = torch.optim.Adam(groups, lr=1e-3, weight_decay=1e-6, fused=True)
    before = [(p, p.detach().clone()) for p in network.parameters()]
    for _ in range(2):
        optimiser.zero_grad()
        total = torch.stack(list(network(batch).values())).sum()
        total.backward()
        optimiser.step()
    return total.item(), {id(p) for p, value in before if not torch.equal(p, value)}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_takes_a_step(folder: Path, cell: str) -> None:
    training, model = _network(folder, cell)
    idle = {name for name, _ in model.named_parameters() if name.startswith("idle.")}
    unasked = {
        name
        for name, _ in model.named_parameters()
        if "task_attention" in name and any(part in name for part in UNASKED.get(cell, ()))
    }
    moved: list[int] = []
    for _, network in model.trainings():
        network.begin()
        batch = _batch(folder / f"{training.cell.benchmark}.h5", training.cell.setting, network.tasks)
        loss, moved_now = _steps(network, batch)
        assert np.isfinite(loss)
        moved += moved_now
    assert len(moved) == len(set(moved))  # nothing that was trained before moves again
    assert {name for name, p in model.named_parameters() if id(p) not in moved} - unasked == idle
    assert all(p.requires_grad == (name not in idle) for name, p in model.named_parameters())
    assert bool(idle) == (training.cell.method in IDLE)


def _tensors(batch: Batch) -> Iterator[torch.Tensor]:
    yield from (batch.images, batch.noise_keys, batch.image_weights)
    for tensors in (batch.labels, batch.image_index):
        yield from tensors.values()


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_hidden_label_cannot_change_the_loss(folder: Path, tmp_path: Path, name: str, setting: str) -> None:
    """Every hidden label is overwritten: no tensor that a method gets to see changes, and so no loss. A visible one does."""
    tasks = benchmark(name).outputs
    _, model = _network(folder, f"{name}-onelabel-diffusion_prediction")
    model.eval()
    mask = _mask(setting, len(tasks)).astype(bool)
    batches = []
    for title, change in (("as it was", mask & False), ("hidden", ~mask), ("visible", mask)):
        path = tmp_path / f"{title}.h5"
        _write_shard(path, tasks)
        with h5py.File(path, "r+") as file:
            for k, t in np.argwhere(change):
                label = file[list(tasks)[t]]
                label[k] = label[k] / 2 if label.dtype == np.float32 else np.roll(label[k], 1, axis=0)
        batches.append(_batch(path, setting, tuple(tasks)))
    assert all(torch.equal(a, b) for a, b in zip(_tensors(batches[0]), _tensors(batches[1]), strict=True))
    with torch.no_grad():
        losses = [model(batch) for batch in batches]
    assert all(torch.equal(losses[0][task], losses[1][task]) for task in tasks)
    assert all(not torch.equal(losses[0][task], losses[2][task]) for task in tasks)
