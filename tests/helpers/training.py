"""A training of the tiny project, in this process."""

import os
import signal
from pathlib import Path

import pytest
import yaml

from dmtl.config import Project, for_training
from dmtl.training import loop
from helpers.networks import need

FILES = ("model.safetensors", "model.json", "history.json")


def train(folder: Path, cell: str) -> dict[str, bytes]:
    """Train a cell; the bytes of its outs."""
    project = Project(folder)
    loop.train(for_training(project, cell), project.paths)
    return {name: (project.paths.model(cell) / name).read_bytes() for name in FILES}


def train_or_exit(folder: Path, cell: str) -> dict[str, bytes] | int:
    """The outs, or the exit status of a training that was told to stop."""
    try:
        return train(folder, cell)
    except SystemExit as stop:
        return int(stop.code or 0)


def stopped_after_each_step(folder: Path, cell: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, bytes] | int, int]:
    """What a training ends with that is stopped by a signal after each step in turn and run again, and how often that was."""
    original = loop.Run.__init__

    def told_to_stop(run: loop.Run, *args: object) -> None:
        original(run, *args)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.Run, "__init__", told_to_stop)
    stops = 0
    while (ended := train_or_exit(folder, cell)) == 128 + signal.SIGTERM:
        stops += 1
    return ended, stops


def set_recipe(folder: Path, **recipe: object) -> None:
    """Change NYUD's recipe in params.yaml."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"] |= recipe
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def cell_of(folder: Path, method: str, setting: str = "full") -> str:
    """A cell of the method on NYUD, put into the tiny project's grid where the tables have none."""
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    need(method)
    made_of = grid["methods"][method]["cell"]
    cell = f"nyud-{setting}-{method}"
    plain = {"backbone": "resnet18", "scratch": False, "steps": None, "params_block": made_of["family"]}
    grid["cells"][cell] = made_of | plain | {"benchmark": "nyud", "setting": setting}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    return cell
