"""A launch with a runner that does nothing: what is recorded, told and left for the next one."""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.launch import grid
from dmtl.launch.events import Event, Stop
from dmtl.launch.grid import launch, require_all_done
from dmtl.launch.stale import Work

CELL, OTHER = "nyud-full-mtl_baseline", "nyud-full-constant"
BOTH = ("train", "evaluate")


class Kept:
    """In place of `Records`: what it was given; `problems` are told at the end."""

    given: list[tuple[str, str]]
    problems: list[tuple[str, str, str]]

    def __init__(self, project: Project, code: str) -> None:
        Kept.given = []

    def add(self, stage: str, cell: str) -> None:
        self.given.append((stage, cell))

    def tick(self) -> list[tuple[str, str, str]]:
        return []

    def close(self) -> list[tuple[str, str, str]]:
        return self.problems


@pytest.fixture
def project(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    Kept.problems = []
    monkeypatch.setattr(grid, "Records", Kept)
    monkeypatch.setattr(grid, "stale_work", lambda project, cells: [Work(OTHER, BOTH), Work(CELL, BOTH)])
    return Project(tiny)


def _well(works: list[Work], stop: Stop) -> Generator[Event | None, None, None]:
    for work in works:
        for stage in work.stages:
            yield Event(stage, work.cell)
            yield None
            yield Event(stage, work.cell, 0, "", 1.0)


def test_what_ends_well_is_recorded_and_what_does_not_is_told(project: Project) -> None:
    def run(works: list[Work], stop: Stop) -> Generator[Event | None, None, None]:
        assert works == [Work(CELL, BOTH), Work(OTHER, BOTH)]
        yield Event("train", CELL, 0, "", 1.0)
        yield Event("train", OTHER, 1, "error: no")
        yield Event("evaluate", CELL, 0, "", 1.0)

    failures = launch(project, [], "code", run)
    assert Kept.given == [("train", CELL), ("evaluate", CELL)]
    assert failures == [f"{OTHER}: train ended with exit status 1: error: no"]
    with pytest.raises(UserError, match="1 not done, the others are recorded: nyud-full-constant: train"):
        require_all_done(failures)
    require_all_done([])


def test_what_cannot_be_recorded_is_told(project: Project) -> None:
    Kept.problems = [("evaluate", CELL, "the lock is held")]
    assert launch(project, [], "code", _well) == [f"{CELL}: evaluate is not recorded: the lock is held"]


def test_what_an_earlier_launch_had_trained_is_recorded_and_evaluated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "is_trained", lambda project, cell: cell == CELL)
    assert launch(project, [], "code", _well) == []
    assert Kept.given == [("train", CELL), ("train", OTHER), ("evaluate", OTHER), ("evaluate", CELL)]


def test_nothing_is_started_for_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "stale_work", lambda project, cells: [])

    def run(works: list[Work], stop: Stop) -> Generator[Event | None, None, None]:
        raise AssertionError("a pool was started")

    assert launch(project, [], "code", run) == []


def test_a_launch_that_is_told_to_stop_ends_its_runner_and_keeps_the_rest(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(works: list[Work], stop: Stop) -> Generator[Event | None, None, None]:
        yield Event("train", CELL, 0, "", 1.0)
        os.kill(os.getpid(), signal.SIGTERM)
        while not stop.requested:
            yield None

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        launch(project, [], "code", run)
    assert ended.value.code == 143
    assert Kept.given == [("train", CELL)]
    assert "launch again to go on" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_had_ended_is_recorded_when_the_runner_breaks(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(Kept, "close", lambda self: closed.append(list(self.given)) or [])

    def run(works: list[Work], stop: Stop) -> Generator[Event | None, None, None]:
        yield Event("train", CELL, 0, "", 1.0)
        raise UserError("the pool of workers died")

    with pytest.raises(UserError, match="the pool of workers died"):
        launch(project, [], "code", run)
    assert closed == [[("train", CELL)]]
