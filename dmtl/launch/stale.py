"""What is to be done of the grid: DVC says which trainings and evaluations are stale."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dmtl.config import Project
from dmtl.errors import UserError

STAGES = ("train", "evaluate")  # of a cell, in this order
LOCK_SECONDS = 30.0  # that the last commands of a launch that was killed have to let go of DVC's lock


@dataclass(frozen=True)
class Work:
    """A cell and which of its `STAGES` are to be run."""

    cell: str
    stages: tuple[str, ...]


def address(stage: str, cell: str) -> str:
    """A stage's name in DVC."""
    return f"{stage}@{cell}"


def stale_work(project: Project, cells: Sequence[str]) -> list[Work]:
    """What DVC would run of the trainings and evaluations of `cells`, or of all.

    Raises:
        UserError: a cell is not in the grid, or the shards that it needs are stale themselves.
    """
    for cell in cells:
        project.cell(cell)
    return select(json.loads(dvc(project, "status", "--json", "dvc.yaml")), project, cells)


def select(status: Mapping[str, Any], project: Project, cells: Sequence[str]) -> list[Work]:
    """`stale_work` from what `dvc status --json` says. A cell that is trained is evaluated too."""
    stale = {cell: {stage for stage in STAGES if address(stage, cell) in status} for cell in project.grid["cells"]}
    works = []
    for cell, stages in stale.items():
        if stages and (not cells or cell in cells):
            works.append(Work(cell, STAGES if "train" in stages else ("evaluate",)))
    for benchmark in sorted({project.cell(work.cell).benchmark for work in works}):
        unmade = [key for key in status if re.fullmatch(rf"(?:download|shards)@{re.escape(benchmark)}", key)]
        if unmade:
            raise UserError(f"the shards of {benchmark} are stale or missing: run 'dvc repro {' '.join(unmade)}' first")
    return works


def dvc(project: Project, *arguments: str) -> str:
    """What a DVC command prints, run in the project's folder; it waits for another that has the lock.

    Raises:
        UserError: it failed.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=project.paths.root, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return done.stdout
        line = last_line(done.stderr) or last_line(done.stdout)
        if done.returncode < 0:
            line = f"it was killed by signal {-done.returncode}: is the memory full? Close other programs and run it again"
        if not is_locked(done.stderr) or time.monotonic() > deadline:
            raise UserError(f"'dvc {' '.join(arguments[:2])}' failed: {line}")
        time.sleep(1)


def is_locked(said: str) -> bool:
    """Whether a DVC command failed because another one is at work."""
    return "acquire lock" in said or "is busy" in said


def last_line(text: str) -> str:
    """The last line that is not blank, or nothing."""
    return (text.strip().splitlines() or [""])[-1].strip()
