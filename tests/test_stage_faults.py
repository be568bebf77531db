"""Stages that are killed, stopped or meet a full or read-only disk: clear words, nothing half-written, the same bytes after."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.project import ROOT, tiny_params, write_project

CELL = "nyud-full-constant"
WAY = (("download", "nyud"), ("shards", "nyud"), ("train", CELL), ("evaluate", CELL), ("report",))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
KILLS = 6  # of each stage


def _start(folder: Path, stage: tuple[str, ...], *before: str) -> "subprocess.Popen[str]":
    command = [*before, sys.executable, str(ROOT / "stages" / f"{stage[0]}.py"), *stage[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def _run(folder: Path, stage: tuple[str, ...], *before: str) -> tuple[int, list[str]]:
    """Exit status, and the lines on standard error."""
    process = _start(folder, stage, *before)
    _, said = process.communicate(timeout=120)
    return process.returncode, [line for line in said.splitlines() if line and not line.startswith("note:")]


def _content(folder: Path) -> dict[str, str]:
    """File -> SHA-256 of everything but working files and a training's note of its time."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".work" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, str], float]]:
    """Stage -> a project in which it comes next, the content after it, and its seconds."""
    folder = write_project(tmp_path_factory.mktemp("way") / "project", tiny_params())
    states = {}
    for stage in WAY:
        before = folder.with_name(f"before-{stage[0]}")
        shutil.copytree(folder, before)
        begun = time.monotonic()
        assert _run(folder, stage) == (0, [])
        states[stage[0]] = before, _content(folder), time.monotonic() - begun
    return states


@pytest.mark.long
@pytest.mark.parametrize("stage", WAY, ids=lambda stage: stage[0])
def test_a_stage_that_is_killed_ends_with_the_same_bytes(states: dict, stage: tuple[str, ...], tmp_path: Path) -> None:
    before, expected, seconds = states[stage[0]]
    for trial in range(KILLS):
        folder, number = tmp_path / str(trial), SIGNALS[trial % len(SIGNALS)]
        shutil.copytree(before, folder)
        process = _start(folder, stage)
        time.sleep(random.Random(f"{stage}{trial}").uniform(0.3, 1.0) * seconds)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, -number, 128 + number), said
        if process.returncode == 128 + number:
            assert said.splitlines()[-1].startswith("stopped by "), said
            assert "Traceback" not in said
        assert _run(folder, stage) == (0, []), f"trial {trial}"
        assert _content(folder) == expected, f"trial {trial}"
        shutil.rmtree(folder)


def _in_namespace(*script: str) -> list[str]:
    """A command before a command, which runs it with mounts of its own and then names every half-written file."""
    rest = '"$@"; status=$?; find . -name "*.tmp" -o -name "*.part" >&2; exit $status'
    return ["unshare", "-rm", "bash", "-c", f"{'; '.join(script)}; {rest}", "bash"]


@pytest.fixture(scope="module")
def mounts() -> None:
    try:
        done = subprocess.run([*_in_namespace("mount -t tmpfs none /mnt"), "true"], capture_output=True, check=False)
    except OSError:
        pytest.skip("no unshare")
    if done.returncode:
        pytest.skip("mounting is not allowed here")


@pytest.mark.long
@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("how", ["full", "read-only"])
@pytest.mark.parametrize("stage", WAY, ids=lambda stage: stage[0])
def test_a_stage_on_a_disk_that_takes_nothing(states: dict, stage: tuple[str, ...], how: str, tmp_path: Path) -> None:
    """One line, no half file beside what was there; the stage then ends as always on a disk that takes its files."""
    before, expected, _ = states[stage[0]]
    folder = tmp_path / "project"
    shutil.copytree(before, folder)
    was = _content(folder)
    if how == "full":
        # a disk of its own for the stage's files, with a few KiB free, and a copy of what it held when all is over
        script = (
            f"mount -t tmpfs -o size=64m none {folder}", f"cp -a {before}/. {folder}",
            f"dd if=/dev/zero of={folder}/filler bs=4k 2>/dev/null", f"cd {folder}",
        )  # fmt: skip
    else:
        script = (f"mount --bind {folder} {folder}", f"mount -o remount,ro,bind {folder}", f"cd {folder}")
    status, said = _run(tmp_path, stage, *_in_namespace(*script))
    assert status == 2, said
    assert len(said) == 1, said
    assert said[0].startswith("error: ")
    assert "No space left" in said[0] or "Read-only" in said[0]
    assert _content(folder) == was
    assert _run(folder, stage) == (0, [])
    assert _content(folder) == expected
