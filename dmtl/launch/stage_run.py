"""One stage of one cell: its script, run as `python stages/<stage>.py CELL` in the project's folder would."""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from dmtl.config import Project
from dmtl.files import CLONE
from dmtl.launch.outputs import clear, code_state, is_trained, log_of, note_trained
from dmtl.launch.stale import address, last_line

LOCK_SECONDS = 60.0  # that a cell waits for the process of a dead worker to save and let go of it
LOCKED = "another process is training this cell"  # dmtl/training/checkpoint.py
TAIL = 64 * 1024  # bytes of a log that are looked at


def run_here(root: Path, stage: str, cell: str, code: str, gpus: str | None) -> None:
    """Run a stage in this process, which is a fresh one, and end it with the stage's exit status.

    Args:
        root: the project's folder.
        stage: its name.
        cell: of the grid.
        code: `outputs.code_state()` when this process' code was loaded.
        gpus: for CUDA_VISIBLE_DEVICES, or None to leave it as it is.
    """
    end_with_parent()
    signal.signal(signal.SIGTERM, _exit)  # so that what is half-written is deleted; a training has its own
    paths = Project(root).paths
    log = log_of(paths, stage, cell)
    _redirect(log)
    if code_state() != code:
        sys.exit("error: the code was edited since this launch began: launch again")
    os.chdir(root)
    os.environ["DVC_STAGE"] = address(stage, cell)
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    status = finish_stage(root, stage, cell, lambda: (_run_script(stage, cell), tail(log)))
    sys.stderr.flush()
    sys.exit(status)


def run_command(root: Path, stage: str, cell: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a stage as a command of its own -> exit status, last line. It is told to stop, and saves, if this process dies."""
    command = [sys.executable, str(CLONE / "stages" / f"{stage}.py"), cell]
    last = ""

    def run() -> tuple[int, str]:
        nonlocal last
        done = subprocess.run(
            command,
            cwd=root,
            env={**os.environ, **environment, "DVC_STAGE": address(stage, cell)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            preexec_fn=end_with_parent,
        )
        last = last_line(done.stderr)
        return done.returncode, last

    return finish_stage(root, stage, cell, run), last


def finish_stage(root: Path, stage: str, cell: str, run: Callable[[], tuple[int, str]]) -> int:
    """Clear a stage's outs, run it and note that a training has ended; waits while a dying process still has the cell.

    Args:
        root: the project's folder.
        stage: its name.
        cell: of the grid.
        run: runs it -> exit status, last line that it wrote.
    """
    project, deadline = Project(root), time.monotonic() + LOCK_SECONDS
    if stage == "train" and is_trained(project, cell):
        return 0  # the worker died after it had ended
    clear(project.paths, stage, cell)
    while True:
        status, line = run()
        if status == 0 and stage == "train":
            note_trained(project.paths, cell)
        if status == 0 or LOCKED not in line or time.monotonic() > deadline:
            return status
        time.sleep(1)


def tail(log: Path) -> str:
    """The last line of a log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        return last_line(file.read().decode(errors="replace"))


def end_with_parent() -> None:
    """Linux: SIGTERM when the process that started this one dies, so that a killed worker leaves no training behind."""
    end_with_parent_by(signal.SIGTERM)


def end_with_parent_by(number: signal.Signals) -> None:
    """Linux: that signal when the process that started this one dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)


def _run_script(stage: str, cell: str) -> int:
    """The stage's script as the main program of this process -> its exit status."""
    script = CLONE / "stages" / f"{stage}.py"
    sys.argv = [str(script), cell]
    sys.path.insert(0, str(script.parent))
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        sys.stderr.flush()
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.path.remove(str(script.parent))
    return 0


def _redirect(log: Path) -> None:
    """What this process and those that it starts write goes into the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
