"""MLflow gets what it should and can stop nothing."""

import json
import os
import queue
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from filelock import FileLock
from helpers.project import ROOT, shared_folder
from helpers.training import set_recipe

from dmtl.config import Project, for_report, for_training
from dmtl.files import digest
from dmtl.report.tables import write_report
from dmtl.tracking import results as tracking_results
from dmtl.tracking import training as tracking
from dmtl.tracking.store import tracking_uri
from dmtl.tracking.training import Description
from dmtl.tracking.writer import Items, Writer
from dmtl.training import loop
from dmtl.training.fingerprint import fingerprint_of

CELL = "nyud-full-mtl_baseline"


def _train(folder: Path, epochs: int = 2) -> Project:
    set_recipe(folder, epochs=epochs)
    project = Project(folder)
    loop.train(for_training(project, CELL), project.paths)
    return project


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow without runs; making its tables takes seconds, so one of the processes makes it for all."""
    from mlflow import MlflowClient

    folder = shared_folder(tmp_path_factory) / "mlflow"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "whole").exists():
            MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
            (folder / "whole").touch()
    return folder / "mlflow.db"


@pytest.fixture
def tracked(tiny: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny project with tracking on; `train` then waits for MLflow's process, as nobody else does."""
    shutil.copy(empty_database, tiny / "mlflow.db")
    monkeypatch.chdir(tiny)  # where what writes to MLflow goes, and what a test must leave again
    monkeypatch.delenv("DMTL_TRACKING")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    original = tracking.MlflowTracker.close

    def close(self: tracking.MlflowTracker, finished: bool) -> None:
        original(self, finished)
        self.process.wait(60)

    monkeypatch.setattr(tracking.MlflowTracker, "close", close)
    return tiny


def test_a_run_has_its_name_parameters_and_curves(tracked: Path) -> None:
    (tracked / "mlflow.db").unlink()  # the training's own process makes it
    _train(tracked)
    with sqlite3.connect(tracked / "mlflow.db") as database:
        names = database.execute(
            "select r.name, e.name, r.status from runs r join experiments e using (experiment_id)"
        ).fetchall()
        params = dict(database.execute("select key, value from params").fetchall())
        tags = dict(database.execute("select key, value from tags").fetchall())
        curve = database.execute("select step from metrics where key = 'train/depth' order by step").fetchall()
    assert names == [(CELL, "nyud", "FINISHED")]
    assert (params["recipe.epochs"], params["cell.method"]) == ("2", "mtl_baseline")
    assert (tags["cell"], tags["scale"], tags["setting"], tags["method"]) == (CELL, "demo", "full", "mtl_baseline")
    assert curve == [(1,), (2,)]
    fingerprint = fingerprint_of(for_training(Project(tracked), CELL), Project(tracked).paths.shard("nyud", "train"))
    assert tags["fingerprint"] == fingerprint.value
    assert (tags["data.sha256"], tags["code.sha256"]) == (fingerprint.data, fingerprint.code)
    assert tags["config.sha256"] == digest(fingerprint.config)
    assert (Project(tracked).paths.model(CELL) / "model.json").exists()


def test_an_interrupted_training_goes_on_in_its_run(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to stop after the first epoch, killed after the second with a checkpoint from before: one run, each epoch once."""
    original, ends = loop._end_epoch, iter([lambda: os.kill(os.getpid(), signal.SIGTERM), _interrupted])

    def end_after_the_epoch(run: loop.Run, *args: object) -> None:
        original(run, *args)  # type: ignore[arg-type]
        next(ends, lambda: None)()

    monkeypatch.setattr(loop, "_end_epoch", end_after_the_epoch)
    for end in (SystemExit, KeyboardInterrupt):
        with pytest.raises(end):
            _train(tracked, epochs=3)
    _train(tracked, epochs=3)
    with sqlite3.connect(tracked / "mlflow.db") as database:
        runs = database.execute("select name, status from runs").fetchall()
        curve = database.execute("select step from metrics where key = 'train/depth' order by step").fetchall()
    assert runs == [(CELL, "FINISHED")]
    assert curve == [(1,), (2,), (3,)]


def _interrupted() -> None:
    raise KeyboardInterrupt


def test_a_server_that_never_answers_costs_nothing(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A socket that takes connections and never answers: what the training spends on it is less than 1 % of its time and 1 s."""
    monkeypatch.delenv("DMTL_TRACKING")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    spent = 0.0
    trackers: list[tracking.MlflowTracker] = []

    def timed(method: str) -> None:
        original = getattr(tracking.MlflowTracker, method)

        def call(self: tracking.MlflowTracker, *args: object, **kwargs: object) -> None:
            nonlocal spent
            begun = time.monotonic()
            original(self, *args, **kwargs)
            spent += time.monotonic() - begun
            trackers.append(self)

        monkeypatch.setattr(tracking.MlflowTracker, method, call)

    for method in ("__init__", "log", "close"):
        timed(method)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        begun = time.monotonic()
        project = _train(tiny)
        took = time.monotonic() - begun
        trackers[-1].process.wait(60)
    assert (project.paths.model(CELL) / "model.json").exists()
    assert spent <= 0.01 * (took - spent) + 1
    warnings = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: MLflow")]
    assert len(warnings) == 1


def test_a_writer_that_hangs_never_holds_the_training(tiny: Path) -> None:
    """More epochs than a pipe holds are taken while MLflow waits for a lock."""
    (tiny / ".work").mkdir(exist_ok=True)
    with FileLock(tiny / ".work" / "mlflow.lock"):
        tracker = tracking.MlflowTracker(_description(tiny))
        begun = time.monotonic()
        for epoch in range(1, 2001):
            tracker.log({f"a rather long name of a loss {k}": 0.5 for k in range(3)}, step=epoch)
        tracker.close(True)
        assert time.monotonic() - begun < 20  # the reader's start; it does not wait for MLflow
        assert tracker.process.poll() is None
        tracker.process.kill()
        tracker.process.wait()


def _description(root: Path) -> Description:
    return Description(
        uri=f"sqlite:///{root}/mlflow.db",
        experiment="nyud",
        name="cell",
        scale="demo",
        params={},
        tags={"cell": "cell"},
        run_file=str(root / "run"),
        root=str(root),
    )


def test_waiting_epochs_are_written_in_one_batch(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that comes up late writes all epochs at once, each once."""
    from mlflow import MlflowClient

    batches: list[int] = []
    original = MlflowClient.log_batch

    def log_batch(self: MlflowClient, run: str, metrics: Sequence[object] = (), **rest: object) -> None:
        batches.append(len(metrics))
        original(self, run, metrics=metrics, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    items: Items = queue.SimpleQueue()
    for epoch in range(1, 6):
        items.put(({"loss": 1.0 / epoch, "depth": 2.0}, epoch, 0))
    items.put(True)
    (tracked / ".work").mkdir(exist_ok=True)
    Writer(_description(tracked), items).work()
    assert batches == [0, 10]
    with sqlite3.connect(tracked / "mlflow.db") as database:
        curve = database.execute("select step from metrics where key = 'loss' order by step").fetchall()
        status = database.execute("select status from runs").fetchall()
    assert curve == [(epoch,) for epoch in range(1, 6)]
    assert status == [("FINISHED",)]


def test_a_database_that_cannot_be_made_costs_a_warning(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked}/params.yaml")
    project = _train(tracked)
    assert (project.paths.model(CELL) / "model.json").exists()
    (warning,) = {line for line in capfd.readouterr().err.splitlines() if "MLflow" in line}
    assert "does not take the run" in warning


def test_mlflow_is_written_to_by_the_code_of_this_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the package that runs, as DVC's experiments do, does not start another one that is installed."""
    copy = tmp_path / "copy" / "dmtl"
    shutil.copytree(ROOT / "dmtl", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "where.py").write_text("import pathlib, dmtl; pathlib.Path('../where').write_text(dmtl.__file__)\n")
    call = "from dmtl.tracking.store import start_process; assert start_process('dmtl.where').wait(60) == 0"
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    subprocess.run([sys.executable, "-c", call], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "where").read_text() == str(copy / "__init__.py")


def test_a_training_imports_no_mlflow() -> None:
    script = "import sys, dmtl.training.loop, dmtl.tracking.writer; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "mlflow" not in done.stdout.split()


@pytest.fixture
def evaluated(tracked: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The tiny cell trained under MLflow, evaluated and reported; the first process that asks leaves a copy for all."""
    kept = shared_folder(tmp_path_factory) / "evaluated"
    with FileLock(f"{kept}.lock"):
        if kept.exists():
            shutil.copytree(kept, tracked, dirs_exist_ok=True)
            return Project(tracked)
        monkeypatch.syspath_prepend(str(ROOT / "stages"))
        from evaluate import evaluate_cell

        project = _train(tracked)
        monkeypatch.setattr("dmtl.tracking.scores.start", lambda *_: None)  # a process that would write meanwhile
        evaluate_cell(project, CELL)
        write_report(for_report(project), project.paths, None)
        shutil.copytree(tracked, kept.with_name("copying"), ignore=shutil.ignore_patterns("data"))
        kept.with_name("copying").rename(kept)
    return project


def test_a_run_gets_its_scores_pictures_and_data(evaluated: Project) -> None:
    from mlflow import MlflowClient

    assert tracking_results.add_results(evaluated) == 1
    client = MlflowClient(tracking_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("nyud").experiment_id])
    result = json.loads(evaluated.paths.result(CELL).read_text())
    assert run.data.metrics["final/semseg/miou_percent"] == result["metrics"]["final"]["semseg"]["miou"]
    assert "final/normals/within_11.25_percent" in run.data.metrics
    assert (run.data.tags["backbone"], run.data.tags["seed"], run.data.tags["fingerprint"]) == (
        "resnet18",
        "0",
        result["fingerprint"],
    )
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("nyud-full", run.data.tags["data.sha256"][:36])
    assert [file.path for file in client.list_artifacts(run.info.run_id, "results")] == [f"results/{CELL}.json"]
    assert len(client.list_artifacts(run.info.run_id, "pictures")) == tracking_results.PICTURES
    (report,) = client.search_runs([client.get_experiment_by_name("report").experiment_id])
    assert "report/index.html" in [file.path for file in client.list_artifacts(report.info.run_id, "report")]
    assert tracking_results.add_results(evaluated) == 0, "it has everything already"


def test_nothing_is_made_where_nothing_was_tracked(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tiny)  # where what writes to MLflow goes, and what a test must leave again
    assert tracking_results.add_results(Project(tiny)) == 0
    assert not (tiny / "mlflow.db").exists()


def test_results_of_trainings_that_were_not_tracked_are_left_out(evaluated: Project) -> None:
    content = json.loads(evaluated.paths.result(CELL).read_text()) | {"fingerprint": "0" * 64}  # another machine's
    evaluated.paths.result(CELL).write_text(json.dumps(content))
    assert tracking_results.add_results(evaluated) == 0


def test_a_server_that_does_not_answer_costs_the_report_nothing(
    evaluated: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        tracking_results.start(evaluated)
        assert time.monotonic() - begun < 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("sys.argv", ["tracking_results", str(evaluated.paths.root)])
    monkeypatch.setattr("os.nice", lambda _: 0)
    tracking_results.main()
    assert "warning: MLflow did not get the results" in capsys.readouterr().err
