"""The whole of a launch: real trainings, real evaluations, real DVC; on this machine and on a Ray cluster of two nodes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT, tiny_params, write_project

CELLS = ("nyud-full-mtl_baseline", "nyud-full-diffusion_prediction", "nyud-full-constant", "nyud-onelabel-single_task")
MANY = 60  # epochs, so that a training can be killed before it ends


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with the shards of one benchmark."""
    for name in ("dmtl", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    params = tiny_params()
    params["scales"]["demo"]["train"]["nyud"]["epochs"] = MANY
    write_project(tmp_path, params)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _call(tmp_path, "dvc", "init", "--no-scm", "--quiet")
    _call(tmp_path, "dvc", "repro", "--quiet", "shards@nyud")
    return tmp_path


def _call(root: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _stale(root: Path) -> set[str]:
    """Of the cells, the stages that DVC would run."""
    status = json.loads(_call(root, "dvc", "status", "--json", "dvc.yaml"))
    return {key for key in status if key.partition("@")[2] in CELLS}


def _made(root: Path) -> dict[str, bytes]:
    """What trainings and evaluations wrote."""
    files = [path for cell in CELLS for folder in ("models", "results") for path in (root / folder / "demo").rglob(f"{cell}*")]
    files = [inner for path in files for inner in ([path] if path.is_file() else path.iterdir())]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.mark.long
def test_four_workers_of_which_one_is_killed_make_the_bytes_of_the_stage_scripts(clone: Path) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=_kill, args=(clone, False, killed), daemon=True)
    killer.start()
    said = _call(clone, "dmtl", "launch", *CELLS, "--workers", "4")
    assert killed, said
    assert _stale(clone) == set()
    launched = _made(clone)
    assert len(launched) == len(CELLS) * 6
    for folder in ("models", "results", ".work"):
        shutil.rmtree(clone / folder)
    for cell in CELLS:
        for stage in ("train", "evaluate"):
            subprocess.run([sys.executable, f"stages/{stage}.py", cell], cwd=clone, check=True, capture_output=True)
    assert _made(clone) == launched


@pytest.mark.long
def test_two_nodes_train_while_a_worker_is_killed(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="needs the extra 'cluster'")
    from ray.cluster_utils import Cluster

    killed: list[int] = []
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        killer = threading.Thread(target=_kill, args=(clone, True, killed), daemon=True)
        killer.start()
        _call(clone, "dmtl", "launch", *CELLS, "--address", "auto")
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed, "no worker was killed"
    assert _stale(clone) == set()


def _kill(root: Path, by_parent: bool, killed: list[int]) -> None:
    """Kill, once, a worker of the pool, or the Ray worker of a stage command: when the first checkpoint is there."""
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline and not list((root / ".work" / "demo").glob("*/checkpoint.pt")):
        time.sleep(0.05)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "cwd") != str(root):
                continue
            above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes().decode()
            forked = "forkserver" in command and "forkserver" in Path(f"/proc/{above}/cmdline").read_text()
        except OSError:
            continue
        if forked or (by_parent and "stages/train.py" in command):
            os.kill(above if by_parent else int(folder.name), signal.SIGKILL)
            killed.append(int(folder.name))
            return


def test_the_grid_has_the_cells() -> None:
    assert set(CELLS) <= yaml.safe_load((ROOT / "grid.yaml").read_text())["cells"].keys()
