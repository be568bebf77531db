"""MLflow as people run it: experiments in copies, checkouts that move, folders with any name, servers, and what a run tells."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from helpers.project import ROOT, tiny_params, write_project

from dmtl.benchmarks import benchmark
from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.files import original, write_json
from dmtl.prepare.places import downloads_path, given_path, local_path
from dmtl.tracking import origin, scores, store
from dmtl.tracking.results import scores_of

ODD = "50% of #1? (a+b) é:c"  # characters that mean something in an address or on the search path
CELL = "nyud-full-mtl_baseline"


@pytest.fixture
def writable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A working folder to come back to, and no server from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _database(folder: Path, name: str = "nyud") -> tuple[str, str]:
    """A database like MLflow's with a run; its experiment's and its run's place of artifacts, as seen from `folder`."""
    store.enter_home(folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("create table if not exists experiments (experiment_id, name, artifact_location)")
        database.execute("create table if not exists runs (experiment_id, artifact_uri)")
        if not database.execute("select * from experiments").fetchall():
            database.execute("insert into experiments values (1, ?, ?)", (name, store._beside(folder, name)))
            database.execute("insert into runs values (1, ?)", (f"{store._beside(folder, name)}/abc/artifacts",))
            database.execute("insert into experiments values (2, 'mine', 's3://bucket/mlruns/mine')")
    store.enter_home(folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        (there,) = database.execute("select artifact_location from experiments where experiment_id = 1").fetchone()
        (run,) = database.execute("select artifact_uri from runs").fetchone()
        assert database.execute("select artifact_location from experiments where experiment_id = 2").fetchone() == (
            "s3://bucket/mlruns/mine",
        )
    return there, run


@pytest.mark.usefixtures("writable")
@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_a_checkout_that_was_copied_or_moved_names_its_own_artifacts(tmp_path: Path, how: Any) -> None:
    first, second = tmp_path / ODD / "a", tmp_path / ODD / "b 100%"
    first.mkdir(parents=True)
    assert _database(first) == (f"{first.as_uri()}/mlruns/nyud", f"{first.as_uri()}/mlruns/nyud/abc/artifacts")
    os.chdir(tmp_path)
    how(first, second)
    assert _database(second) == (f"{second.as_uri()}/mlruns/nyud", f"{second.as_uri()}/mlruns/nyud/abc/artifacts")
    if first.exists():
        assert _database(first)[0] == f"{first.as_uri()}/mlruns/nyud", "the original keeps its own"


def test_what_is_no_database_is_left_to_mlflow(tmp_path: Path, writable: None) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all, but longer than the head of one " * 20)
    assert store.enter_home(tmp_path) == tmp_path


class _Client:
    """Of MLflow, without experiments."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str | None]] = []

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str, artifact_location: str | None = None) -> str:
        self.made.append((name, artifact_location))
        return "1"


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        (store.OWN, "{home}/mlruns/nyud"),
        ("sqlite:////elsewhere/all.db", "file:///elsewhere/mlruns/nyud"),
        ("http://server:5000", None),
        ("https://server", None),
        ("postgresql://server/runs", None),
        ("databricks", None),
    ],
)
def test_where_artifacts_go(tmp_path: Path, uri: str, place: str | None) -> None:
    """To a server's store, and beside a database of a file."""
    client = _Client()
    store.experiment_id(client, "nyud", uri, tmp_path)
    assert client.made == [("nyud", place and place.format(home=tmp_path.as_uri()))]


def _copy(project: Path, *below: str) -> Path:
    """What DVC makes for `dvc exp run --temp` or `--queue`: a clone of the repository, without what git ignores."""
    copy = project.joinpath(".dvc", "tmp", "exps", *below)
    (copy / ".git").mkdir(parents=True)
    return copy


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A git repository, empty but for a folder."""
    (tmp_path / ODD / ".git").mkdir(parents=True)
    (tmp_path / ODD / "study").mkdir()
    return tmp_path / ODD


@pytest.mark.parametrize("below", [("tmp1",), ("standalone", "tmp1")])
def test_the_checkout_that_an_experiments_copy_was_made_of(clone: Path, tmp_path: Path, below: tuple[str, ...]) -> None:
    assert original(_copy(clone, *below)) == clone
    copy = _copy(clone / "study", *below)
    assert original(copy / "study") == clone / "study"
    assert original(copy) == clone
    for lasting in (clone, clone / "study", clone / ".dvc", clone / ".dvc" / "tmp" / "exps", tmp_path):
        assert original(lasting) == lasting
    assert not store.outlives(copy / "study")
    assert store.outlives(clone)


def test_local_yaml_and_downloads_are_the_originals(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, files = _copy(clone, "tmp1"), tmp_path / "files"
    files.mkdir()
    monkeypatch.delenv("DMTL_NYUD", raising=False)
    with pytest.raises(UserError, match=re.escape(f"write 'nyud: /its/folder' into {clone}/local.yaml")):
        local_path(copy, "nyud")
    (clone / "local.yaml").write_text(f"nyud: {files}\ncityscapes: study\npascal:\n")
    assert local_path(copy, "nyud") == local_path(clone, "nyud") == files
    assert local_path(copy, "cityscapes") == clone / "study"
    assert given_path(copy, "pascal") is None
    assert downloads_path(copy) == clone / "data" / "raw" / "downloads"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny project, committed."""
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    folder = write_project(tmp_path / ODD / "project", tiny_params())
    for command in (("init", "-q"), ("add", "-A"), ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "first")):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return folder


def _params(folder: Path, **changed: Any) -> dict[str, Any]:
    from dmtl.config import for_training
    from dmtl.files import flat

    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["optim"] |= changed
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return flat(for_training(Project(folder), CELL).model_dump(mode="json"))


def test_a_run_tells_its_commit_and_what_differs_from_it(repository: Path, tmp_path: Path) -> None:
    head = subprocess.run(["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    commit = {origin.COMMIT: head.stdout.strip()}
    assert origin.origin_tags(repository, "demo", CELL, _params(repository)) == commit
    changed = _params(repository, balance="uncertainty")
    assert origin.origin_tags(repository, "demo", CELL, changed) == commit | {"changed.optim.balance": "uncertainty"}
    assert origin.origin_tags(repository, "demo", "nyud-full-unheard_of", changed) == commit
    outside = write_project(tmp_path / "outside", tiny_params())
    assert origin.origin_tags(outside, "demo", CELL, changed) == {}


@pytest.mark.parametrize(
    ("tags", "taken", "name"),
    [
        ({}, set(), "cell"),
        ({}, {"cell", "cell #2"}, "cell #3"),
        ({"changed.optim.balance": "dwa"}, {"cell"}, "cell (balance=dwa)"),
        ({"changed.optim.balance": "dwa", "dvc.experiment": "odd-pet"}, {"cell"}, "cell (odd-pet)"),
        ({"dvc.experiment": "odd-pet"}, {"cell (odd-pet)"}, "cell (odd-pet) #2"),
    ],
)
def test_two_runs_of_a_cell_have_two_names(tags: dict[str, str], taken: set[str], name: str) -> None:
    assert origin.title("cell", tags, taken) == name


def test_scores_carry_their_units() -> None:
    project = Project(ROOT)
    metrics = {
        "final": {
            "semseg": {"miou": 40.0},
            "depth": {"abs_error": 0.5, "rmse": 0.7, "rel_error": 0.2},
            "normals": {"mean_error": 20.0, "within_11.25": None},
        },
        "initial": None,
    }
    assert scores_of(project.cell(CELL), metrics, {}) == {
        "final/semseg/miou_percent": 40.0,
        "final/depth/abs_error_m": 0.5,
        "final/depth/rmse_m": 0.7,
        "final/depth/rel_error_ratio": 0.2,
        "final/normals/mean_error_degrees": 20.0,
    }
    assert benchmark("cityscapes").task("depth").unit


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: None) -> Project:
    """A project with a result that nothing has written to MLflow."""
    project = Project(write_project(tmp_path / "project", tiny_params()))
    metrics = {"final": {"semseg": {"miou": 40.0}, "depth": {"abs_error": 0.5}, "normals": {"mean_error": 20.0}}}
    write_json(project.paths.result(CELL), {"fingerprint": "abc", "metrics": metrics})
    monkeypatch.setattr(scores, "PAUSE", 0.01)
    monkeypatch.delenv("DMTL_TRACKING")
    return project


def test_scores_wait_for_the_run_that_is_still_being_made(evaluated: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process takes the scores of all cells; it looks again until MLflow has the run, and leaves what was never tracked."""
    root, looked, started = evaluated.paths.root.resolve(), [], []
    written: dict[str, float] = {}
    run = SimpleNamespace(info=SimpleNamespace(run_id="1"), data=SimpleNamespace(metrics={}))

    def run_of(client: object, experiment: str, fingerprint: str) -> object:
        looked.append((experiment, fingerprint))
        return run if len(looked) > 2 else None

    monkeypatch.setattr("dmtl.tracking.results.run_of", run_of)
    monkeypatch.setattr("dmtl.tracking.results.log_scores", lambda client, run, scores: written.update(scores))
    monkeypatch.setattr(scores, "start_process", lambda *arguments: started.append(arguments))
    monkeypatch.setattr("mlflow.MlflowClient", lambda uri: None)
    with scores._lock(root):
        scores.start(evaluated, CELL)
    assert started == [], "the process that is under way takes it"
    scores.start(evaluated, CELL)
    assert started == [("dmtl.tracking.scores", str(root))]
    assert scores.add_waiting(root) == 1
    assert looked == [("nyud", "abc")] * 3
    assert written["final/depth/abs_error_m"] == 0.5
    assert not list(scores._cells(root))
    looked.clear()
    scores.start(evaluated, CELL)
    past = time.time() - 2 * store.LONGEST_WAIT
    for file in scores._cells(root):
        os.utime(file, (past, past))
    assert scores.add_waiting(root) == 0
    assert len(looked) == 1


def test_a_process_is_of_this_code_whatever_the_folder_is_called(tmp_path: Path) -> None:
    """Neither PYTHONPATH nor an address takes every character that a folder's name may hold."""
    copy = tmp_path / ODD / "clone"
    (copy / "dmtl").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "files.py", "config", "tracking", "tasks", "metrics", "benchmarks"):
        place = ROOT / "dmtl" / name
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(place, copy / "dmtl" / name, ignore=ignore) if place.is_dir() else shutil.copy(place, copy / "dmtl")
    (copy / "dmtl" / "where.py").write_text("import pathlib, dmtl; pathlib.Path('where').write_text(dmtl.__file__)\n")
    call = "import sys; sys.path.insert(0, sys.argv[1]); from dmtl.tracking.store import start_process as start; "
    call += "assert start('dmtl.where').wait(60) == 0"
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    subprocess.run([sys.executable, "-c", call, str(copy)], cwd=tmp_path, env=environment, check=True)
    assert (copy / "where").read_text() == str(copy / "dmtl" / "__init__.py")
