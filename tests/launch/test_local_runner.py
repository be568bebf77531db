"""Launches on this machine, with stages and a DVC that do next to nothing: order, deaths, interruptions, what is recorded."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from helpers.launching import FalseProject

from dmtl.launch.local_runner import LocalRunner

LONG, SHORT, OTHER = "nyud-onelabel-single_task", "nyud-full-mtl_baseline", "nyud-full-constant"
CELLS = [OTHER, SHORT, LONG]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a pool ends with its launch on Linux only")


@pytest.fixture
def false(tmp_path: Path) -> FalseProject:
    return FalseProject(tmp_path / "clone", CELLS)


def _all(cells: list[str]) -> set[str]:
    return {f"{stage}@{cell}" for cell in cells for stage in ("train", "evaluate")}


def test_the_longest_comes_first_its_evaluation_follows_and_one_commit_records_all(false: FalseProject) -> None:
    status, said = false.launch("--workers", "1")
    assert status == 0, said
    assert false.lines("said") == [line for cell in (LONG, SHORT, OTHER) for line in (f"train0 {cell}", f"evaluate {cell}")]
    assert [set(line.split()) for line in false.lines("commits")] == [_all(CELLS)]
    assert re.search(rf"^\[1/3\] {LONG}: trained in \d+ s, evaluated in \d+ s", said)
    assert "[3/3]" in said
    before = false.lines("said")
    assert false.launch("--workers", "1")[0] == 0
    assert false.lines("said") == before, "something was done though nothing is stale"


def test_a_killed_worker_is_tried_again_three_times_and_goes_on(false: FalseProject) -> None:
    false.plan(LONG, "die 2")
    false.plan(SHORT, "die 9")
    status, said = false.launch("--workers", "2")
    assert status == 2
    assert [line for line in false.lines("said") if LONG in line] == [
        *(f"train{tried} {LONG}" for tried in range(3)),
        f"evaluate {LONG}",
    ]
    assert [line for line in false.lines("said") if SHORT in line] == [f"train{tried} {SHORT}" for tried in range(3)]
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert f"1 not done, the others are recorded: {SHORT}: train ended with exit status -9: killed 3 times (SIGKILL)" in line
    assert false.recorded() == _all([LONG, OTHER])


def test_a_cell_that_fails_is_told_in_one_line_and_the_others_are_recorded(false: FalseProject) -> None:
    false.plan(SHORT, "fail")
    status, said = false.launch("--workers", "2")
    assert status == 2
    assert said.count("Traceback") == 0
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert f"{SHORT}: train ended with exit status 1: error: the loss is not finite (all that it said: " in line
    assert false.recorded() == _all([LONG, OTHER])
    false.plan(SHORT, "")
    assert false.launch()[0] == 0
    assert false.recorded() == _all(CELLS)
    assert sorted(line for line in false.lines("said") if line.startswith("train0")) == sorted(f"train0 {cell}" for cell in CELLS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_had_ended_is_recorded_when_it_is_told_to_stop(false: FalseProject, number: signal.Signals) -> None:
    false.plan(SHORT, "wait")
    process = false.start("--workers", "1")
    false.wait_for(f"train0 {SHORT}")
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "stopped, what had ended is recorded" in out
    assert false.lines("said")[-1] == f"saved {SHORT}"
    assert false.recorded() == _all([LONG])
    false.wait_for_end()


def test_nothing_outlives_a_killed_launch_and_the_next_one_trains_nothing_twice(false: FalseProject) -> None:
    false.plan(SHORT, "wait")
    process = false.start("--workers", "1")
    false.wait_for(f"train0 {SHORT}")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    false.wait_for_end()
    assert false.recorded() == set()
    assert false.lines("said")[-1] == f"saved {SHORT}"
    false.plan(SHORT, "")
    assert false.launch()[0] == 0
    trained = [line for line in false.lines("said") if line.startswith("train")]
    assert sorted(trained) == sorted([f"train0 {LONG}", f"train0 {SHORT}", f"train1 {SHORT}", f"train0 {OTHER}"])
    assert false.recorded() == _all(CELLS)


def test_a_pool_that_is_killed_is_started_again(false: FalseProject) -> None:
    false.plan(LONG, "wait")
    process = false.start("--workers", "1")
    false.wait_for(f"train0 {LONG}")
    (pool,) = [
        pid
        for pid in false.processes()
        if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes() and _parent(pid) == process.pid
    ]
    os.kill(pool, signal.SIGKILL)
    false.wait_for(f"train1 {LONG}")
    false.plan(LONG, "")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert false.recorded() == _all(CELLS)


def test_a_pool_that_hangs_or_keeps_dying_ends_it_in_one_line(false: FalseProject) -> None:
    runner = false.folder / "dmtl" / "launch" / "local_runner.py"
    text = runner.read_text()
    assert "PATIENCE = 20.0" in text
    runner.write_text(text.replace("PATIENCE = 20.0", "PATIENCE = 1.0"))
    preload = false.folder / "dmtl" / "launch" / "preload.py"
    whole = preload.read_text()
    preload.write_text(f"{whole}\nimport time\ntime.sleep(1000)\n")
    status, said = false.launch()
    assert (status, said.strip()) == (2, "error: the pool of workers hangs: nothing in 1 s; launch again, which goes on")
    false.wait_for_end()
    preload.write_text(f"{whole}\nimport os\nos.kill(os.getpid(), signal.SIGKILL)\n")
    status, said = false.launch()
    assert status == 2
    assert said.startswith("error: the pool of workers ")
    assert len(said.splitlines()) == 1
    false.wait_for_end()


def test_only_one_launch_at_a_time(false: FalseProject) -> None:
    false.plan(LONG, "wait")
    process = false.start("--workers", "1")
    false.wait_for(f"train0 {LONG}")
    assert false.launch() == (2, "error: another launch is at work on this project: wait for it or stop it\n")
    process.terminate()
    process.communicate(timeout=60)


def test_code_that_was_edited_meanwhile_is_not_recorded(false: FalseProject) -> None:
    false.plan(LONG, "wait")
    process = false.start("--workers", "1")
    false.wait_for(f"train0 {LONG}")
    with (false.folder / "dmtl" / "losses.py").open("a") as file:
        file.write("# edited\n")
    false.plan(LONG, "")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the code was edited" in err
    assert false.recorded() == set()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_stage_that_could_say_nothing_is_told_with_the_space_that_is_left(tmp_path: Path) -> None:
    assert re.fullmatch(
        rf"it said nothing; \d+ MiB are free on the disk of {tmp_path}", LocalRunner._reason(1, tmp_path / "log", 1)
    )
