"""How long cells take: by their recipes, or as they did."""

from pathlib import Path

import pytest

from dmtl.config import Project
from dmtl.launch.outputs import launch_folder
from dmtl.launch.stale import Work
from dmtl.launch.timings import Timings

BOTH = ("train", "evaluate")
CONSTANT, BASELINE, SINGLE = (Work(f"nyud-full-{method}", BOTH) for method in ("constant", "mtl_baseline", "single_task"))


def test_several_networks_take_longer_than_one_and_that_longer_than_none(tiny: Path) -> None:
    timings = Timings(Project(tiny))
    assert timings.longest_first([CONSTANT, BASELINE, SINGLE]) == [SINGLE, BASELINE, CONSTANT]
    assert timings.seconds("train", SINGLE.cell) == pytest.approx(3 * timings.seconds("train", BASELINE.cell))
    assert timings.longest_first([Work(SINGLE.cell, ("evaluate",)), BASELINE]) == [BASELINE, Work(SINGLE.cell, ("evaluate",))]
    assert not timings.measured


def test_the_last_time_counts_more_and_gives_the_scale_for_the_others(tiny: Path) -> None:
    first = Timings(Project(tiny))
    first.note("train", BASELINE.cell, 30.0)
    first.note("train", CONSTANT.cell, 500.0)
    first.save()
    timings = Timings(Project(tiny))
    assert timings.measured
    assert timings.longest_first([BASELINE, CONSTANT]) == [CONSTANT, BASELINE]
    assert timings.seconds("train", BASELINE.cell) == 30.0
    timings = Timings(Project(tiny))
    (launch_folder(Project(tiny).paths) / "timings.json").write_text("{")
    assert not Timings(Project(tiny)).measured, "a damaged file is no loss"
    only = Timings(Project(tiny))
    only.note("train", BASELINE.cell, 30.0)
    assert only.seconds("train", SINGLE.cell) == pytest.approx(90.0)


def test_a_cell_that_left_the_grid_is_no_hindrance(tiny: Path) -> None:
    old = Timings(Project(tiny))
    old.note("train", "nyud-full-gone", 30.0)
    old.save()
    assert Timings(Project(tiny)).seconds("train", BASELINE.cell) > 0
