"""MLflow gets what it should and can stop nothing."""

import logging
import os
import socket
import sqlite3
import time
from pathlib import Path

import pytest
import yaml

from dmtl import tracking
from dmtl.config import Project, for_training
from dmtl.training import loop

CELL = "nyud-full-mtl_baseline"


def _train(folder: Path) -> Project:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"] |= {"epochs": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    project = Project(folder)
    loop.train(for_training(project, CELL), project.paths)
    return project


@pytest.fixture
def tracked(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny project with tracking on and time enough to make a database."""
    monkeypatch.delenv("DMTL_TRACKING")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "PATIENCE", 60.0)
    return tiny


def test_a_run_has_its_name_parameters_and_curves(tracked: Path) -> None:
    _train(tracked)
    with sqlite3.connect(tracked / "mlflow.db") as database:
        names = database.execute(
            "select r.name, e.name, r.status from runs r join experiments e using (experiment_id)"
        ).fetchall()
        params = dict(database.execute("select key, value from params").fetchall())
        tags = dict(database.execute("select key, value from tags").fetchall())
        curve = database.execute("select step from metrics where key = 'all/depth' order by step").fetchall()
    assert names == [(CELL, "nyud", "FINISHED")]
    assert (params["recipe.epochs"], params["cell.method"]) == ("2", "mtl_baseline")
    assert (tags["cell"], tags["scale"], tags["setting"], tags["method"]) == (CELL, "demo", "full", "mtl_baseline")
    assert curve == [(1,), (2,)]
    assert (Project(tracked).paths.model(CELL) / "model.json").exists()


@pytest.mark.parametrize("killed", [False, True])
def test_an_interrupted_training_goes_on_in_its_run(tracked: Path, monkeypatch: pytest.MonkeyPatch, killed: bool) -> None:
    """Told to stop after the first epoch, or killed after it with a checkpoint from before: one run, each epoch once."""
    original = loop._end_epoch

    def stop_after_the_first_epoch(run: loop.Run, *args: object) -> None:
        original(run, *args)  # type: ignore[arg-type]
        if run.position.epoch == 1 and not (tracked / "stopped").exists():
            (tracked / "stopped").touch()
            if killed:
                raise KeyboardInterrupt
            os.kill(os.getpid(), 15)

    monkeypatch.setattr(loop, "_end_epoch", stop_after_the_first_epoch)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        _train(tracked)
    _train(tracked)
    with sqlite3.connect(tracked / "mlflow.db") as database:
        runs = database.execute("select name, status from runs").fetchall()
        curve = database.execute("select step from metrics where key = 'all/depth' order by step").fetchall()
    assert runs == [(CELL, "FINISHED")]
    assert curve == [(1,), (2,)]


def test_a_server_that_never_answers_costs_a_few_seconds(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        begun = time.monotonic()
        project = _train(tracked)
        assert time.monotonic() - begun < 20
    assert (project.paths.model(CELL) / "model.json").exists()
    assert "does not answer" in caplog.text


def test_a_database_that_cannot_be_made_costs_a_warning(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked}/params.yaml")
    with caplog.at_level(logging.WARNING):
        project = _train(tracked)
    assert (project.paths.model(CELL) / "model.json").exists()
    assert "goes on without it" in caplog.text
