"""One display of all cells."""

from pathlib import Path

import pytest

from dmtl.config import Project
from dmtl.launch import progress
from dmtl.launch.progress import Progress
from dmtl.launch.stale import Work
from dmtl.launch.timings import Timings

BOTH = ("train", "evaluate")


def test_a_line_for_each_cell_and_the_time_left(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    first, second, third = (f"nyud-{setting}-mtl_baseline" for setting in ("full", "onelabel", "randomlabels"))
    timings = Timings(Project(tiny))
    with Progress([Work(first, BOTH), Work(second, BOTH), Work(third, ("evaluate",))], timings) as shown:
        assert shown.left() == ""
        shown.started("train", first)
        shown.started("train", second)
        now[0] = 100.0
        shown.ended("train", first, 100.0)
        assert shown.left().startswith("about ")
        shown.started("evaluate", first)
        shown.ended("evaluate", first, 7.0)
        shown.failed(second, "train ended with exit status 1: error: no")
        shown.started("evaluate", third)
        timings.note("evaluate", third, 50.0)
        now[0] = 110.0
        assert shown.left() == "about 40 s left"
        shown.ended("evaluate", third, 12.0)
        assert shown.left() == ""
        shown.refresh()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"[1/3] {first}: trained in 2 min, evaluated in 7 s (about ")
    assert lines[1].startswith(f"[2/3] {second}: train ended with exit status 1: error: no")
    assert lines[2] == f"[3/3] {third}: evaluated in 12 s"
