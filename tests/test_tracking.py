"""MLflow gets what it should and can stop nothing."""

import logging
import os
import socket
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from dmtl import tracking
from dmtl.config import Project, digest, for_training
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
    monkeypatch.setattr(tracking, "LOCAL_PATIENCE", 60.0)
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
    parts = loop.parts_of(for_training(Project(tracked), CELL), Project(tracked).paths.shard("nyud", "train"))
    assert (tags["data.sha256"], tags["config.sha256"]) == (parts["data"], digest(parts["config"]))
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
    """A socket that takes connections and never answers: all that the training waits for is 1 % of its time and 5 s."""
    waited = 0.0

    def timed(method: str) -> None:
        original = getattr(tracking.MlflowTracker, method)

        def call(*args: object, **kwargs: object) -> None:
            nonlocal waited
            begun = time.monotonic()
            original(*args, **kwargs)
            waited += time.monotonic() - begun

        monkeypatch.setattr(tracking.MlflowTracker, method, call)

    for method in ("__init__", "log", "close"):
        timed(method)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        begun = time.monotonic()
        project = _train(tracked)
        took = time.monotonic() - begun
    assert (project.paths.model(CELL) / "model.json").exists()
    assert "does not answer" in caplog.text
    assert tracking.PATIENCE <= waited <= 0.01 * (took - waited) + 5
    assert len([record for record in caplog.records if record.name == "dmtl.tracking"]) == 1


def test_waiting_epochs_are_written_in_one_batch(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker that comes up late writes all epochs at once, each once."""
    from mlflow import MlflowClient

    batches: list[int] = []
    original = MlflowClient.log_batch

    def log_batch(self: MlflowClient, run: str, metrics: Sequence[object] = (), **rest: object) -> None:
        batches.append(len(metrics))
        original(self, run, metrics=metrics, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    held = FileLock(tracked / ".work" / "mlflow.lock")
    (tracked / ".work").mkdir(exist_ok=True)
    with held:
        tracker = tracking.MlflowTracker(
            f"sqlite:///{tracked}/mlflow.db", "nyud", "cell", {}, {"cell": "cell"}, tracked / "run", tracked
        )
        for epoch in range(1, 6):
            tracker.log({"loss": 1.0 / epoch, "depth": 2.0}, step=epoch)
    tracker.close(True)
    assert batches == [0, 10]
    with sqlite3.connect(tracked / "mlflow.db") as database:
        curve = database.execute("select step from metrics where key = 'loss' order by step").fetchall()
    assert curve == [(epoch,) for epoch in range(1, 6)]


def test_a_database_that_cannot_be_made_costs_a_warning(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked}/params.yaml")
    with caplog.at_level(logging.WARNING):
        project = _train(tracked)
    assert (project.paths.model(CELL) / "model.json").exists()
    assert "goes on without it" in caplog.text
