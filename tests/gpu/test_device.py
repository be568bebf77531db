"""A device computes what the CPU does. Each test also runs with the CPU as that device, in the same small form."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.devices import on, set_recipe, trained
from helpers.networks import batch_of, fresh
from helpers.project import ROOT
from lightning_fabric import Fabric

from dmtl.config import Project, for_training
from dmtl.data.shards import Shard
from dmtl.evaluation.evaluate import evaluate
from dmtl.models import load_model, read_description
from dmtl.models.consistency.view import draw_view
from dmtl.models.diffusion.noise import gaussian
from dmtl.models.shared.random import hashed, streams, uniform
from dmtl.training import loop
from dmtl.training.balance import Balance
from dmtl.training.step import make_optimiser, take_step

CPU = torch.device("cpu")
FAMILIES = ("mtl_baseline", "diffusion_feature", "xtc")  # of Table 3; multiscale below, which it has on PASCAL alone
STEPS = 5


def _cell(method: str) -> str:
    return f"nyud-onelabel-{method}"


@pytest.fixture
def slow(tiny: Path) -> Path:
    """The tiny project with three epochs of two steps so small that Adam does not blow rounding up."""
    set_recipe(tiny, epochs=3, learning_rate=2e-6)
    return tiny


@pytest.mark.parametrize("method", FAMILIES)
def test_five_steps_in_float32(slow: Path, device: torch.device, method: str) -> None:
    expected, ours = (trained(slow, _cell(method), where) for where in (CPU, device))
    assert len(ours) >= STEPS
    np.testing.assert_allclose(ours[:STEPS], expected[:STEPS], rtol=1e-4)


@pytest.mark.parametrize("method", ["mti_net", "invpt", "diffusion_prediction", "semi_supervised"])
def test_five_steps_of_a_network(root: Path, device: torch.device, method: str) -> None:
    """Without a shard: of methods that Table 3 lacks, too."""
    losses = [_five_steps(root, method, where) for where in (CPU, device)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


def _five_steps(root: Path, method: str, device: torch.device) -> list[float]:
    recipe = for_training(Project(root), "nyud-onelabel-mtl_baseline").recipe.model_copy(update={"learning_rate": 2e-6})
    fabric, network = Fabric(accelerator=device.type, devices=1), fresh(method)
    optimiser, _ = make_optimiser(network.to(device).train(), recipe)
    module, wrapped = fabric.setup(network, optimiser)
    batch, balance = batch_of("randomlabels").to(device), Balance(dict.fromkeys(network.tasks, 1.0))
    return [float(take_step(fabric, balance, module, wrapped, batch, (0, k), 10.0)["total"]) for k in range(STEPS)]


def test_a_step_asks_nothing_back(root: Path, device: torch.device) -> None:
    """CUDA itself says so; of every method the CPU's test does (tests/training/test_step.py)."""
    if device.type != "cuda":
        assert _five_steps(root, "xtc", device)
        return
    recipe = for_training(Project(root), "nyud-onelabel-mtl_baseline").recipe
    fabric, network = Fabric(accelerator="cuda", devices=1), fresh("xtc")
    optimiser, _ = make_optimiser(network.to(device).train(), recipe)
    module, wrapped = fabric.setup(network, optimiser)
    batch, balance = batch_of("randomlabels").to(device), Balance(dict.fromkeys(network.tasks, 1.0))
    take_step(fabric, balance, module, wrapped, batch, (0, 0), 10.0)  # the first one chooses its algorithms
    torch.cuda.set_sync_debug_mode("error")
    try:
        take_step(fabric, balance, module, wrapped, batch, (0, 1), 10.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("method", ["mtl_baseline", "diffusion_feature"])
def test_bfloat16_within_its_noise(slow: Path, device: torch.device, method: str) -> None:
    """As far from float32 as the CPU's bfloat16 is, within a factor: 8 bits of a number, over the layers of a network."""
    exact = trained(slow, _cell(method), CPU)
    set_recipe(slow, precision="bf16-mixed")
    ours, theirs = (trained(slow, _cell(method), where) for where in (device, CPU))
    noise = np.abs(theirs - exact).max()
    assert 0 < noise < 0.1 * np.abs(exact).max()
    assert np.abs(ours - exact).max() < 3 * noise


def test_the_draws_are_the_same_to_the_bit(device: torch.device) -> None:
    """Hashes and uniform numbers. Gaussian noise goes through log and cos, of which each device rounds the last digit its way."""
    keys = torch.tensor([5, -3, 2**62])
    on_device = keys.to(device)
    assert torch.equal(hashed(streams(on_device, "depth", 2), 1001).cpu(), hashed(streams(keys, "depth", 2), 1001))
    assert torch.equal(uniform(on_device, "depth", 2, (7, 11)).cpu(), uniform(keys, "depth", 2, (7, 11)))
    ours, expected = gaussian(on_device, "depth", 2, (7, 11)).cpu(), gaussian(keys, "depth", 2, (7, 11))
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)
    views = [draw_view(where, (32, 64), (1.0, 1.2, 1.5), True) for where in (on_device, keys)]
    assert torch.equal(views[0].zoom.cpu(), views[1].zoom)
    assert torch.equal(views[0].mirrored.cpu(), views[1].mirrored)
    torch.testing.assert_close(views[0].grid.cpu(), views[1].grid, rtol=1e-6, atol=1e-6)


def test_a_training_goes_on_on_another_device(
    slow: Path, tmp_path: Path, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped on the device after its first step, ended on the CPU."""
    cell = _cell("diffusion_feature")
    trained(slow, cell, CPU)
    expected = load_model(Project(slow).paths.model(cell)).state_dict()
    shutil.rmtree(Project(slow).paths.model(cell))
    original = loop.Run.__init__

    def told_to_stop(run: loop.Run, *arguments: object) -> None:
        original(run, *arguments)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(loop.Run, "__init__", told_to_stop)
        with pytest.raises(SystemExit):
            trained(slow, cell, device)
    assert len(trained(slow, cell, CPU)) == 5, "one of six steps was done elsewhere"
    for name, weight in load_model(Project(slow).paths.model(cell)).state_dict().items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-5)


def test_two_processes_with_synchronised_batch_norm(device: torch.device) -> None:
    """On two devices where there are, else both on one; a CPU has no SyncBatchNorm and takes the tests' own."""
    script = ROOT / "tests" / "helpers" / "two_ranks.py"
    done = subprocess.run([sys.executable, str(script), device.type], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 1e-4


def test_compiled_against_eager(slow: Path, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU compiles by the backend that needs no C++ compiler and a tenth of the time."""
    cell = _cell("diffusion_feature")
    expected = trained(slow, cell, device)
    set_recipe(slow, compile=True)
    if device.type == "cpu":
        compile_module = torch.nn.Module.compile
        monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **_: compile_module(module, backend="aot_eager"))
    np.testing.assert_allclose(trained(slow, cell, device), expected, rtol=1e-4)


def test_evaluation(slow: Path, device: torch.device) -> None:
    cell = _cell("diffusion_feature")
    trained(slow, cell, CPU)
    paths = Project(slow).paths
    folder, shard = paths.model(cell), Shard(paths.shard("nyud", "val"))
    scores = []
    for where in (CPU, device):
        with on(where):
            scores.append(evaluate(load_model(folder), shard, read_description(folder)).scores())
    for task, metrics in scores[0]["final"].items():
        for metric, value in metrics.items():
            assert scores[1]["final"][task][metric] == pytest.approx(value, rel=1e-3), (task, metric)
