"""Checkpoints: a training goes on to the bit after any interruption, and what cannot be read or written is told."""

import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.networks import fresh, installed
from helpers.project import ROOT
from helpers.training import FILES, cell_of, set_recipe, stopped_after_each_step, train

from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.models import method_names
from dmtl.training import checkpoint, loop
from dmtl.training.checkpoint import ResumeState
from dmtl.training.fingerprint import Fingerprint

FINGERPRINT = Fingerprint({"recipe": {"batch": 4}}, data="d", code="c")
SEVERAL = [m for m in method_names() if not installed(m) or len(list(fresh(m).trainings())) > 1]  # that train several networks


@pytest.mark.parametrize("precision", ["32-true", pytest.param("bf16-mixed", marks=pytest.mark.long)])
@pytest.mark.parametrize("method", [*SEVERAL, "diffusion_prediction", "xtc", "jtr"])
def test_a_stop_at_any_step_changes_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch, method: str, precision: str) -> None:
    """Stopped by a signal after each step in turn, the training ends with the same bytes."""
    cell = cell_of(tiny, method, "randomlabels")
    set_recipe(tiny, epochs=2, precision=precision)
    expected = train(tiny, cell)
    ended, stops = stopped_after_each_step(tiny, cell, monkeypatch)
    assert ended == expected
    assert stops == 4 * len(list(fresh(method).trainings()))  # two epochs of two batches, of each network
    assert not list((tiny / ".work" / "demo").glob("*/"))


def test_a_killed_training_goes_on(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 right after a checkpoint; the next run says where it goes on and ends with the same bytes."""
    cell = "nyud-full-diffusion_feature"
    set_recipe(tiny, epochs=2)
    expected = train(tiny, cell)
    for name in FILES:
        (Project(tiny).paths.model(cell) / name).unlink()
    script = f"""
import os, signal, sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from pathlib import Path
from helpers.narrow_resnet import narrow_backbones
from dmtl.config import Project, for_training
from dmtl.training import checkpoint, loop
checkpoint.FIRST_SECONDS, checkpoint.COST_RATIO = 0.0, 0
save = checkpoint.ResumeState.save
def save_and_die(resume, state):
    save(resume, state)
    if state["position"]["epoch"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.ResumeState.save = save_and_die
project = Project(Path({str(tiny)!r}))
with narrow_backbones():
    loop.train(for_training(project, {cell!r}), project.paths)
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (Project(tiny).paths.model(cell) / "model.json").exists()
    said: list[str] = []
    monkeypatch.setattr(loop.tqdm, "write", said.append)
    assert train(tiny, cell) == expected
    assert said == [f"{cell}: going on at epoch 2, batch 2"]


def test_two_processes_do_not_train_the_same_cell(tiny: Path) -> None:
    with (
        ResumeState(tiny, "demo/cell", FINGERPRINT),
        pytest.raises(UserError, match="another process is training this cell"),
        ResumeState(tiny, "demo/cell", FINGERPRINT),
    ):
        pass


def test_a_damaged_or_foreign_checkpoint_is_refused(tiny: Path) -> None:
    with ResumeState(tiny, "demo/cell", FINGERPRINT) as resume:
        resume.save({"step": 1})
    with ResumeState(tiny, "demo/cell", FINGERPRINT) as resume:
        resume.save({"step": 1})
        other = ResumeState(tiny, "demo/cell", replace(FINGERPRINT, config={"recipe": {"batch": 3}}))
        other._file = resume.folder / "checkpoint.pt"  # as if the hashes began alike
        with pytest.raises(UserError, match=r"of another configuration \(config\.recipe\.batch 4, not 3\)"):
            other.load()
        (resume.folder / "checkpoint.pt").write_bytes(b"damaged")
        with pytest.raises(UserError, match=r"checkpoint\.pt is damaged"):
            resume.load()


def test_a_full_disk_keeps_the_last_checkpoint(tiny: Path) -> None:
    with ResumeState(tiny, "demo/cell", FINGERPRINT) as resume:
        whole = {"model": {}, "optimiser": {}, "balance": {}, "history": []}
        whole["position"] = {"network": 0, "epoch": 0, "batch": 0, "losses": {}}
        resume.save(whole | {"step": 1})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(UserError, match=r"checkpoint\.pt could not be written .*: free the disk") as caught:
                resume.save(whole | {"step": 2, "weights": torch.zeros(100_000)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "\n" not in str(caught.value)
        state = resume.load()
        assert state is not None
        assert state["step"] == 1


def test_checkpoints_are_rare_when_saving_is_slow(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(checkpoint.torch, "save", lambda _, path: (path.touch(), clock.__setitem__(0, clock[0] + 3.0)))
    with ResumeState(tiny, "demo/cell", FINGERPRINT) as resume:
        clock[0] += checkpoint.FIRST_SECONDS
        assert resume.due()
        resume.save({})
        clock[0] += 3.0 * checkpoint.COST_RATIO - 0.1
        assert not resume.due()
        clock[0] += 0.2
        assert resume.due()


def test_a_full_disk_does_not_stop_a_training(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(tiny, "nyud-full-mtl_baseline")
    monkeypatch.setattr(checkpoint, "FIRST_SECONDS", 0.0)
    said: list[str] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    monkeypatch.setattr(loop.tqdm, "write", said.append)
    assert train(tiny, "nyud-full-mtl_baseline") == expected
    assert "No space left on device" in said[0]
    assert "the training goes on" in said[0]
