"""Which cells are launched, which of them DVC may record; and the whole of it on a local Ray cluster of two nodes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT, tiny_params, write_project

from dmtl.config import Project, for_training
from dmtl.errors import UserError
from dmtl.launch import grid
from dmtl.launch.grid import Stage, launch, require_all_trained, select, stale_trainings, why_not_whole
from dmtl.launch.ray_runner import train_cell
from dmtl.training import loop

CELL, OTHER = "nyud-full-mtl_baseline", "nyud-full-constant"


def test_stale_trainings_are_those_of_dvc(tiny: Path) -> None:
    project = Project(tiny)
    status = {f"train@{CELL}": [], f"evaluate@{CELL}": [], f"train@{OTHER}": [], "report": []}
    assert select(status, project, []) == [Stage(CELL, f"train@{CELL}"), Stage(OTHER, f"train@{OTHER}")]
    assert select(status, project, [OTHER]) == [Stage(OTHER, f"train@{OTHER}")]
    assert select({f"study/dvc.yaml:train@{CELL}": []}, project, []) == [Stage(CELL, f"study/dvc.yaml:train@{CELL}")]
    assert select({}, project, []) == []


def test_stale_shards_are_made_first(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"shards of nyud are stale or missing: run 'dvc repro shards@nyud' first"):
        select({f"train@{CELL}": [], "shards@nyud": []}, Project(tiny), [])
    assert select({f"train@{CELL}": [], "shards@pascal": []}, Project(tiny), [])


def test_a_cell_that_is_not_there_is_named(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean 'nyud-full-mtl_baseline'\?"):
        stale_trainings(Project(tiny), ".", ["nyud-full-mtl_baselin"])


def test_only_whole_models_of_this_configuration_are_recorded(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tiny)
    calls: list[tuple[str, ...]] = []

    def dvc(_: Project, *arguments: str) -> str:
        calls.append(arguments)
        return json.dumps({f"train@{cell}": [] for cell in (CELL, OTHER, "nyud-onelabel-mtl_baseline")})

    monkeypatch.setattr(grid, "_dvc", dvc)
    loop.train(for_training(project, CELL), project.paths)
    loop.train(for_training(project, OTHER), project.paths)
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    assert why_not_whole(project, CELL) is None

    def run(cells: list[str]) -> Iterator[tuple[str, int, str]]:
        yield CELL, 0, ""
        yield OTHER, 143, "told to stop"  # its old model folder is whole, but it did not end well
        yield "nyud-onelabel-mtl_baseline", 0, ""  # says so, but left nothing

    failures = launch(project, ".", [], run)
    assert calls[1:] == [("commit", "--force", f"train@{CELL}")]
    assert [failure.split(":")[0] for failure in failures] == [OTHER, "nyud-onelabel-mtl_baseline"]
    with pytest.raises(UserError, match="2 not trained, the others are recorded"):
        require_all_trained(failures)
    require_all_trained([])

    params["scales"]["demo"]["train"]["nyud"]["epochs"] = 7
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    assert "another configuration" in (why_not_whole(Project(tiny), CELL) or "")
    stray = project.paths.model(CELL) / "model.safetensors.x.tmp"
    stray.touch()
    assert "delete it" in (why_not_whole(project, CELL) or "")
    stray.unlink()
    (project.paths.model(CELL) / "history.json").unlink()
    assert "history.json is missing" in (why_not_whole(project, CELL) or "")


def test_a_cell_that_cannot_be_recorded_stops_no_other(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tiny)

    def dvc(_: Project, command: str, *arguments: str) -> str:
        if command == "commit" and arguments[-1].endswith(CELL):
            raise UserError("'dvc commit --force' failed: the lock is held")
        return json.dumps({f"train@{cell}": [] for cell in (CELL, OTHER)})

    monkeypatch.setattr(grid, "_dvc", dvc)
    monkeypatch.setattr(grid, "why_not_whole", lambda *_: None)
    failures = launch(project, ".", [], lambda cells: iter([(cell, 0, "") for cell in cells]))
    assert failures == [
        f"{CELL}: trained, but 'dvc commit --force' failed: the lock is held; "
        f"when that is mended: dvc commit --force train@{CELL}"
    ]


def test_a_worker_waits_for_the_process_of_a_dead_one(tmp_path: Path) -> None:
    """The lock is held at the first try and free at the second."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "train.py").write_text(
        "import pathlib, sys\n"
        "seen = pathlib.Path('seen')\n"
        "if not seen.exists():\n"
        "    seen.touch()\n"
        "    sys.exit('error: x is in use: another process is training this cell; wait or stop it')\n"
        "sys.exit('said ' + sys.argv[1]) if sys.argv[1] == 'bad' else None\n"
    )
    assert train_cell(tmp_path, ".", "good", {})[:2] == ("good", 0)
    assert train_cell(tmp_path, ".", "bad", {}) == ("bad", 1, "said bad")


@pytest.mark.long
def test_two_nodes_train_six_cells_while_a_worker_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="needs the extra 'cluster'")
    from ray.cluster_utils import Cluster

    for name in ("dmtl", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    params = tiny_params()
    params["scales"]["demo"]["train"]["nyud"]["epochs"] = 40
    write_project(tmp_path, params)
    cells = [key for key in yaml.safe_load((tmp_path / "grid.yaml").read_text())["cells"] if key.startswith("nyud-")][:6]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def call(*command: str) -> str:
        done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("dvc", "init", "--no-scm", "--quiet")
    call("dvc", "repro", "--quiet", "shards@nyud")
    killed: list[int] = []
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        killer = threading.Thread(target=_kill_a_worker, args=(tmp_path, killed), daemon=True)
        killer.start()
        call("dmtl", "launch", *cells, "--address", "auto")
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed, "no worker was killed"
    status = json.loads(call("dvc", "status", "--json"))
    assert not [key for key in status if key.startswith("train@") and key.removeprefix("train@") in cells]


def _kill_a_worker(root: Path, killed: list[int]) -> None:
    """Kill, once, the Ray worker whose training has begun."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                here = os.readlink(folder / "cwd") == str(root)
            except OSError:
                continue
            if here and len(command) > 1 and command[1].endswith(b"stages/train.py"):
                time.sleep(3)
                os.kill(parent, signal.SIGKILL)
                killed.append(parent)
                return
        time.sleep(0.2)
