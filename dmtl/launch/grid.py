"""The trainings of the grid on all the devices there are: `dmtl launch`.

DVC says which cells are stale; each is trained by its stage command, without DVC (`dmtl.launch.ray_runner`); then DVC records, by
name, only those whose model folder is whole and carries the fingerprint of today's configuration, data and code.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dmtl.config import Project, for_training
from dmtl.errors import UserError
from dmtl.files import read_json
from dmtl.training.fingerprint import fingerprint_of

OUTS = ("model.safetensors", "history.json", "model.json")

Finished = tuple[str, int, str]  # cell, exit status of its stage command, last line that it wrote


@dataclass(frozen=True)
class Stage:
    """A stale training: its cell and its name in DVC."""

    cell: str
    address: str


def launch(project: Project, folder: str, cells: Sequence[str], run: Callable[[list[str]], Iterator[Finished]]) -> list[str]:
    """Train the stale cells and record each as it ends, so that what is done stays done when this is stopped.

    Args:
        project: whose cells.
        folder: of its params.yaml, relative to the root.
        cells: only these; empty for all that are stale.
        run: trains cells and yields each as it ends, such as `RayRunner`.

    Returns:
        What went wrong, a line per cell.

    Raises:
        UserError: as `stale_trainings`, and whatever `run` raises.
    """
    stages = {stage.cell: stage for stage in stale_trainings(project, folder, cells)}
    failures: list[str] = []
    with tqdm(total=len(stages), desc="cells", unit="cell", disable=None) as bar:
        for cell, status, last_line in run(list(stages)):
            problem = f"exit status {status}: {last_line}" if status else why_not_whole(project, cell)
            problem = problem or record(project, stages[cell])
            if problem:
                failures.append(f"{cell}: {problem}")
            tqdm.write(f"{cell}: {problem or 'trained'}")
            bar.update()
    return failures


def require_all_trained(failures: Sequence[str]) -> None:
    """Raises UserError, in one line, where `launch` returned failures."""
    if failures:
        raise UserError(f"{len(failures)} not trained, the others are recorded: {'; '.join(failures)}")


def stale_trainings(project: Project, folder: str, cells: Sequence[str]) -> list[Stage]:
    """The trainings that DVC would run, of `cells` or of all.

    Raises:
        UserError: a cell is not in the grid, or the shards that it needs are stale themselves.
    """
    for cell in cells:
        project.cell(cell)
    return select(json.loads(_dvc(project, "status", "--json", str(Path(folder) / "dvc.yaml"))), project, cells)


def select(status: Mapping[str, Any], project: Project, cells: Sequence[str]) -> list[Stage]:
    """`stale_trainings` from what `dvc status --json` says."""
    stages = [Stage(match[1], key) for key in status if (match := re.search(r"(?:^|:)train@(.+)$", key))]
    stages = [stage for stage in stages if not cells or stage.cell in cells]
    for benchmark in {project.cell(stage.cell).benchmark for stage in stages}:
        unmade = [key for key in status if re.search(rf"(?:^|:)(?:download|shards)@{benchmark}$", key)]
        if unmade:
            raise UserError(f"the shards of {benchmark} are stale or missing: run 'dvc repro {' '.join(unmade)}' first")
    return stages


def why_not_whole(project: Project, cell: str) -> str | None:
    """Why DVC must not record a cell's model folder; None if it is whole and of today's configuration, data and code."""
    folder = project.paths.model(cell)
    missing = [name for name in OUTS if not (folder / name).is_file()]
    if missing:
        return f"{folder / missing[0]} is missing"
    strays = sorted(path.name for path in folder.iterdir() if path.name not in OUTS)
    if strays:
        return f"{folder / strays[0]} is left from a training that was killed while it wrote: delete it, then launch again"
    training = for_training(project, cell)
    fingerprint = fingerprint_of(training, project.paths.shard(training.cell.benchmark, "train"))
    if read_json(folder / "model.json").get("fingerprint") != fingerprint.value:
        return f"{folder} is of another configuration, data or code: train it again"
    return None


def record(project: Project, stage: Stage) -> str | None:
    """Have DVC record a trained cell; why it could not, or None if it did."""
    try:
        _dvc(project, "commit", "--force", stage.address)
    except UserError as error:
        return f"trained, but {error}; when that is mended: dvc commit --force {stage.address}"
    return None


def _dvc(project: Project, *arguments: str) -> str:
    """What a DVC command prints."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=project.paths.root, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or [""]
        raise UserError(f"'dvc {' '.join(arguments[:2])}' failed: {lines[-1]}")
    return done.stdout
