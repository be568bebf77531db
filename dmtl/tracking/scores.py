"""A cell's final scores, added to its run of MLflow as soon as it is evaluated; pictures and the report follow with the report.

`python -m dmtl.tracking.scores FOLDER` does it, for all cells that wait in `.work/evaluated/`: MLflow takes seconds to import, so
one process serves the evaluations of a whole launch.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dmtl.benchmarks import read_own
from dmtl.config import Project
from dmtl.files import read_json
from dmtl.tracking.store import (
    LONGEST_WAIT,
    NICE,
    enter_home,
    guard,
    is_off,
    outlives,
    quiet_mlflow,
    reason,
    start_for,
    tracking_uri,
)

PAUSE = 2.0  # seconds between two looks for a run that MLflow does not know yet


def start(project: Project, cell: str) -> None:
    """Have a cell's scores written to MLflow; the evaluation waits for it only in an experiment's copy."""
    if is_off():
        return
    root = project.paths.root.resolve()
    waiting = _waiting(root) / project.paths.scale / cell
    waiting.parent.mkdir(parents=True, exist_ok=True)
    waiting.touch()
    try:
        with _lock(root):
            pass
    except Timeout:
        return  # a process that is under way takes it
    start_for(root, "dmtl.tracking.scores")


def add_waiting(root: Path) -> int:
    """Write the scores of all cells that wait; returns how many runs got theirs.

    Raises:
        Exception: whatever MLflow raises.
    """
    added = 0
    while any(_cells(root)):
        try:
            with _lock(root):
                added += _add_all(root)
        except Timeout:
            break
    return added


def _add_all(root: Path) -> int:
    from mlflow import MlflowClient

    home, uri, added = enter_home(root), tracking_uri(), 0
    with guard(uri, home):
        client = MlflowClient(uri)
    while cells := list(_cells(root)):
        for file in cells:
            with guard(uri, home):
                done = _add(client, Project(root, scale=file.parent.name), file.name)
            if done or not outlives(root) or time.time() > file.stat().st_mtime + LONGEST_WAIT:
                file.unlink(missing_ok=True)  # after that long the training was not tracked here
            added += done
        if any(_cells(root)):
            time.sleep(PAUSE)
    return added


def _add(client: Any, project: Project, key: str) -> bool:
    """Write one cell's scores; False where its run is not known (yet)."""
    from dmtl.tracking.results import log_scores, run_of, scores_of

    result = read_json(project.paths.result(key))
    run = run_of(client, project.cell(key).benchmark, result.get("fingerprint") or "")
    if run is not None:
        log_scores(client, run, scores_of(project.cell(key), result["metrics"], {}))
    return run is not None


def _cells(root: Path) -> Iterator[Path]:
    return _waiting(root).glob("*/*")


def _waiting(root: Path) -> Path:
    return root / ".work" / "evaluated"


def _lock(root: Path) -> FileLock:
    return FileLock(root / ".work" / "evaluated.lock", blocking=False)


def main() -> None:
    """Write the scores that wait; a failure is one warning."""
    root = Path(sys.argv[1])
    os.nice(NICE)
    quiet_mlflow()
    try:
        read_own(root)
        add_waiting(root)
    except Exception as error:
        for file in _cells(root):
            file.unlink(missing_ok=True)
        print(f"warning: MLflow did not get the scores ({reason(error)}); the report adds them", file=sys.stderr)


if __name__ == "__main__":
    main()
