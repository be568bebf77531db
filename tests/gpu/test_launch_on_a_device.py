"""`dmtl launch` on one device: a real training, a real evaluation, real DVC."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.project import ROOT, tiny_params, write_project

CELL = "nyud-full-mtl_baseline"


def _call(root: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_launch(tmp_path: Path, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dvc", reason="a kit has no DVC")
    if device.type == "cpu":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("dmtl", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    write_project(tmp_path, tiny_params())
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _call(tmp_path, "dvc", "init", "--no-scm", "--quiet")
    _call(tmp_path, "dvc", "repro", "--quiet", "shards@nyud")
    _call(tmp_path, "dmtl", "launch", CELL, "--workers", "1")
    result = json.loads((tmp_path / "results" / "demo" / f"{CELL}.json").read_text())
    assert result["cell"] == CELL
    assert set(result["metrics"]["final"]) == {"semseg", "depth", "normals"}
