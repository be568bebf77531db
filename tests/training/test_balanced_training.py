"""Trainings with each balance: they go on to the bit, clip what is balanced, and name what is missing."""

import itertools
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from helpers.balancing import CHOICES, WEIGHING, Lines, need, of
from helpers.project import tiny_params, write_project

from dmtl.config import Project, for_training
from dmtl.errors import UserError
from dmtl.training import loop
from dmtl.training.adam import Adam
from dmtl.training.balance import Balance


def _project(folder: Path, choice: str, **recipe: object) -> Project:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["optim"]["balance"] = choice
    params["scales"]["demo"]["train"]["nyud"] |= recipe
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return Project(folder)


def _train(project: Project, cell: str) -> dict[str, bytes]:
    loop.train(for_training(project, cell), project.paths)
    return {name: (project.paths.model(cell) / name).read_bytes() for name in ("model.safetensors", "history.json")}


def _stopped_after_every_step(project: Project, cell: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, bytes], int]:
    """A training that a signal stops after each step in turn: its outs, and how often it was stopped."""
    original = loop.Run.__init__

    def told_to_stop(run: loop.Run, *args: object) -> None:
        original(run, *args)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.Run, "__init__", told_to_stop)
    for stops in itertools.count():
        try:
            return _train(project, cell), stops
        except SystemExit:
            continue
    raise AssertionError


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_trains_and_goes_on_to_the_bit(tiny: Path, monkeypatch: pytest.MonkeyPatch, choice: str) -> None:
    need(choice)
    cells = {"dibs": "nyud-full-diffusion_feature", "uncertainty": "nyud-randomlabels-diffusion_prediction"}
    cell = cells.get(choice, "nyud-randomlabels-mtl_baseline")
    project = _project(tiny, choice, precision="bf16-mixed")
    expected = _train(project, cell)
    assert _stopped_after_every_step(project, cell, monkeypatch) == (expected, 2)
    (entry,) = json.loads(expected["history.json"])
    if choice in WEIGHING:
        assert set(entry["weights"]) == {"semseg", "depth", "normals"}
        assert any(abs(weight - 1) > 1e-4 for weight in entry["weights"].values())
    losses = entry["losses"]
    assert losses.pop("total") == pytest.approx(sum(losses.values()))  # under the fixed weights, whatever the choice


def test_the_gradient_is_clipped_after_it_is_balanced(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    original = Adam.step

    def spy(self: torch.optim.Adam, *args: object, **kwargs: object) -> object:
        found = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.stack([g.norm() for g in found]).norm()))
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Adam, "step", spy)
    _train(_project(tiny, "dibs", clip=0.01), "nyud-full-mtl_baseline")
    assert norms == pytest.approx([0.01] * 2, rel=1e-3)


@pytest.mark.parametrize(
    ("choice", "missing", "message"),
    [
        ("pcgrad", "torchjd", r"optim.balance 'pcgrad' needs TorchJD.*pip install -e '\.\[balance\]'"),
        ("cagrad", "cvxpy", r"optim.balance 'cagrad': .*cvxpy.*pip install"),
        ("upgrad", "quadprog", r"optim.balance 'upgrad': .*quadprog.*pip install"),
    ],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, choice: str, missing: str, message: str) -> None:
    if missing != "torchjd":
        pytest.importorskip("torchjd", reason="the extra 'balance' is not installed")
        mixins = pytest.importorskip("torchjd._mixins")
        monkeypatch.setattr(mixins, "find_spec", lambda name: None if name == missing else name)
    else:
        monkeypatch.setitem(sys.modules, "torchjd", None)
    monkeypatch.setattr("helpers.balancing.need", lambda choice: None)
    with pytest.raises(UserError, match=message) as caught:
        of(choice, Lines({"a": [1.0], "b": [1.0]}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("choice", ["uncertainty", "dibs", "isolation"])
def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch, choice: str) -> None:
    monkeypatch.setattr("helpers.balancing.FABRIC", SimpleNamespace(world_size=2, device=torch.device("cpu")))
    network = Lines({"a": [1.0], "b": [1.0]})
    with pytest.raises(UserError, match=f"optim.balance '{choice}' trains in one process"):
        of(choice, network)
    assert type(of("fixed", network)) is Balance


def test_a_choice_that_does_not_exist_is_named(tmp_path: Path) -> None:
    params = tiny_params()
    params["optim"]["balance"] = "pcgard"
    with pytest.raises(UserError, match=r"params.yaml: optim.balance: Input should be 'fixed', .*'pcgrad'"):
        for_training(Project(write_project(tmp_path, params)), "nyud-full-mtl_baseline")
