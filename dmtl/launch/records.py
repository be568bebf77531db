"""DVC's records of what has ended, in batches: one commit for many stages, in a process beside the trainings.

All of dvc.lock is read and rewritten for each commit, so one for each stage would cost more than a small training. DVC also
writes that file in place, so a copy of it lies in `.work/launch/` until the commit is through.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.launch.outputs import code_state, forget_trained, launch_folder, why_not_whole
from dmtl.launch.stale import address, is_locked, last_line

EVERY = 25.0  # seconds that a stage waits at most until it is being recorded
PATIENCE = 30.0  # seconds of waiting for another dvc that has the lock

COMMAND = ("-m", "dmtl.launch.commit")
# The copy goes when the commit is through, also where the launch was killed in between.
COMMIT = 'copy=$1; shift; "$@" && rm -f "$copy"'

Stage = tuple[str, str]  # its name and its cell
Problem = tuple[str, str, str]  # stage, cell, why it is not recorded


class Records:
    """Stages that ended well and wait to be recorded.

    Args:
        project: whose stages.
        code: `code_state()` when their code was loaded.
    """

    def __init__(self, project: Project, code: str) -> None:
        self._project, self._code = project, code
        self._waiting: dict[Stage, float] = {}  # since when
        self._under_way: list[Stage] = []
        self._process: subprocess.Popen[str] | None = None

    def add(self, stage: str, cell: str) -> None:
        """A stage has ended well."""
        self._waiting[stage, cell] = time.monotonic()

    def tick(self) -> list[Problem]:
        """Record when it is time; returns at once, with what could not be recorded."""
        problems = self._collect() if self._process and self._process.poll() is not None else []
        if not self._process and self._waiting and time.monotonic() - min(self._waiting.values()) > EVERY:
            problems += self._begin()
        return problems

    def close(self) -> list[Problem]:
        """Record all that waits."""
        problems, deadline = [], time.monotonic() + PATIENCE
        while self._process or self._waiting:
            problems += self._collect(patient=time.monotonic() < deadline) if self._process else self._begin()
        return problems

    def _begin(self) -> list[Problem]:
        """Start to record what waits and is what today's parameters and code make."""
        waiting, self._waiting = list(self._waiting), {}
        reasons = {named: self._why_not(*named) for named in waiting}
        self._under_way = [named for named in waiting if reasons[named] is None]
        if self._under_way:
            self._process = commit(self._project, self._under_way)
        return [(*named, reason) for named, reason in reasons.items() if reason is not None]

    def _collect(self, patient: bool = True) -> list[Problem]:
        """Wait for the commit under way. Where it failed each stage is recorded alone, which shows those that cannot be."""
        assert self._process is not None
        _, said = self._process.communicate()
        failed, self._process = self._process.returncode != 0, None
        if failed and is_locked(said) and patient:
            time.sleep(1)
            self._waiting |= dict.fromkeys(self._under_way, time.monotonic())
            return []
        problems: list[Problem] = []
        for stage, cell in self._under_way:
            problem = self._alone(stage, cell) if failed else None
            if problem:
                problems.append((stage, cell, problem))
            elif stage == "train":
                forget_trained(self._project.paths, cell)
        return problems

    def _alone(self, stage: str, cell: str) -> str | None:
        mend_lock(self._project)
        process = commit(self._project, [(stage, cell)])
        _, said = process.communicate()
        if not process.returncode:
            return None
        mend_lock(self._project)
        command = f"dvc commit --force {address(stage, cell)}"
        return f"it ended well, but '{command}' failed: {last_line(said)}; run that when it is mended"

    def _why_not(self, stage: str, cell: str) -> str | None:
        if code_state() != self._code:
            return "the code was edited meanwhile: launch again"
        try:  # by the parameters as they are now, which DVC records
            return why_not_whole(Project(self._project.paths.root), stage, cell)
        except UserError as error:
            return str(error)


def commit(project: Project, stages: list[Stage]) -> "subprocess.Popen[str]":
    """Start the commit of these stages. In a session of its own: Ctrl-C must not reach it while it writes."""
    copy, lock = _copy_of_lock(project), project.paths.root / "dvc.lock"
    with replacing(copy) as temporary:
        temporary.write_bytes(lock.read_bytes() if lock.exists() else b"")
    held = os.open(copy.with_name("committing"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)  # until the last process that has it open ends, though this one be killed before
        command = [sys.executable, *COMMAND, *(address(*named) for named in stages)]
        return subprocess.Popen(
            ["/bin/sh", "-c", COMMIT, "sh", str(copy), *command],
            cwd=project.paths.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=[held],
        )
    finally:
        os.close(held)


def mend_lock(project: Project) -> None:
    """Put dvc.lock back to what it was where a commit was killed; first waits for one that a killed launch has left running."""
    copy, lock = _copy_of_lock(project), project.paths.root / "dvc.lock"
    if not copy.exists():
        return
    held = os.open(copy.with_name("committing"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not copy.exists():
            return
        if copy.stat().st_size:
            with replacing(lock) as temporary:
                shutil.copyfile(copy, temporary)
        else:
            lock.unlink(missing_ok=True)
        copy.unlink()
    finally:
        os.close(held)


def _copy_of_lock(project: Project) -> Path:
    return launch_folder(project.paths).parent / "dvc.lock"
