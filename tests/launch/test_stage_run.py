"""A stage as a command: what it leaves, and a cell that a dying process still has."""

from pathlib import Path

import pytest
from helpers.launching import FalseProject

from dmtl.config import Project
from dmtl.launch import stage_run
from dmtl.launch.outputs import is_trained
from dmtl.launch.ray_runner import run_cell
from dmtl.launch.stage_run import finish_stage
from dmtl.launch.stale import Work

CELL = "nyud-full-mtl_baseline"


def test_a_cells_stages_follow_each_other_up_to_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    false = FalseProject(tmp_path / "clone", [CELL])
    monkeypatch.setattr(stage_run, "CLONE", false.folder)
    monkeypatch.setattr(stage_run, "note_trained", lambda paths, cell: None)
    false.plan(CELL, "fail")
    (event,) = run_cell(false.folder, Work(CELL, ("train", "evaluate")), {})
    assert (event.stage, event.status, event.line) == ("train", 1, "error: the loss is not finite")
    false.plan(CELL, "die 9")
    (event,) = run_cell(false.folder, Work(CELL, ("train", "evaluate")), {})
    assert event.status == -9
    false.plan(CELL, "")
    assert [(event.stage, event.status) for event in run_cell(false.folder, Work(CELL, ("train", "evaluate")), {})] == [
        ("train", 0),
        ("evaluate", 0),
    ]


def test_a_worker_waits_for_the_process_of_a_dead_one(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is held at the first try and free at the second; any other failure is one."""
    monkeypatch.setattr(stage_run.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(stage_run, "note_trained", lambda paths, cell: None)
    said = [(2, "error: x is in use: another process is training this cell; wait or stop it"), (0, "")]
    assert finish_stage(tiny, "train", CELL, lambda: said.pop(0)) == 0
    assert said == []
    said = [(2, "error: no"), (0, "")]
    assert finish_stage(tiny, "train", CELL, lambda: said.pop(0)) == 2
    assert said == [(0, "")]


def test_a_training_that_had_ended_is_not_run_again(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_run, "is_trained", lambda project, cell: True)
    assert finish_stage(tiny, "train", CELL, lambda: (1, "it ran")) == 0
    assert not is_trained(Project(tiny), CELL)
