"""The trainings of the grid on all the devices there are, over Ray: `python -m dmtl launch`.

DVC says which cells are stale; each is trained by its stage command, without DVC, as a Ray task; then DVC records, by name, only
those whose model folder is whole and carries the identity of today's configuration, data and code (pipeline.md A5).
"""

import ctypes
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dmtl.config import Project, digest, for_training
from dmtl.errors import UserError
from dmtl.files import read_json

TRIES = 3  # of a cell whose worker or process dies; each goes on where the last one was
LOCK_SECONDS = 60.0  # that a cell waits for the process of a dead worker to save and let go of it
OUTS = ("model.safetensors", "history.json", "model.json")
PASSED_ON = ("DMTL_", "MLFLOW_")  # environment variables that a worker elsewhere must know

Finished = tuple[str, int, str]  # cell, exit status of its stage command, last line that it said


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
        What went wrong, a line a cell.
    """
    stages = {stage.cell: stage for stage in stale_trainings(project, folder, cells)}
    failures: list[str] = []
    with tqdm(total=len(stages), desc="cells", unit="cell", disable=None) as bar:
        for cell, status, said in run(list(stages)):
            problem = f"exit status {status}: {said}" if status else why_not_whole(project, cell)
            problem = problem or _record(project, stages[cell])
            if problem:
                failures.append(f"{cell}: {problem}")
            tqdm.write(f"{cell}: {problem or 'trained'}")
            bar.update()
    return failures


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
    from dmtl.training.loop import parts_of

    folder = project.paths.model(cell)
    missing = [name for name in OUTS if not (folder / name).is_file()]
    if missing:
        return f"{folder / missing[0]} is missing"
    strays = sorted(path.name for path in folder.iterdir() if path.name not in OUTS)
    if strays:
        return f"{folder / strays[0]} is left from a training that was killed while it wrote: delete it, then launch again"
    training = for_training(project, cell)
    identity = digest(parts_of(training, project.paths.shard(training.cell.benchmark, "train")))
    if read_json(folder / "model.json").get("identity") != identity:
        return f"{folder} is of another configuration, data or code: train it again"
    return None


def train_cell(root: Path, folder: str, cell: str, environment: Mapping[str, str]) -> Finished:
    """Run a cell's stage command; this is what a worker does. The command is told to stop, and saves, if the worker dies."""
    command = [sys.executable, str(Path("stages") / "train.py"), cell, "--project", folder]
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        done = subprocess.run(
            command,
            cwd=root,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            preexec_fn=_end_with_parent,
        )
        said = (done.stderr.strip().splitlines() or [""])[-1]
        if done.returncode == 0 or "another process is training this cell" not in said or time.monotonic() > deadline:
            return cell, done.returncode, said
        time.sleep(1)


class RayRunner:
    """Trains cells as Ray tasks, each on its own GPUs.

    Args:
        root: the project's root, the same path on every machine (a shared folder).
        folder: of params.yaml, relative to it.
        address: of a running cluster (`auto` finds this machine's); None starts one on this machine alone.
        gpus: GPUs a cell; None: 1 where the cluster has any, else 0.

    Raises:
        UserError: Ray is not installed, the cluster is not to be had or has not so many GPUs.
    """

    def __init__(self, root: Path, folder: str, address: str | None, gpus: float | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError:
            raise UserError("launch needs Ray: pip install 'dmtl[cluster]'") from None
        self._ray, self._root, self._folder = ray, root.resolve(), folder
        try:
            dashboard = None if address else False
            ray.init(address=address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise UserError(f"no Ray cluster at '{address}' ({' '.join(str(error).split())[:120]}): ray start --head") from None
        present = ray.cluster_resources().get("GPU", 0)
        self._gpus = float(present > 0) if gpus is None else gpus
        if self._gpus > present:
            raise UserError(f"--gpus-per-cell {self._gpus:g}: the cluster has {present:g} GPUs; give at most that, or 0")

    def __call__(self, cells: list[str]) -> Iterator[Finished]:
        """Train them; yields each as it ends. A cell whose worker or process was killed is tried again, and goes on."""
        ray = self._ray
        # the system's own deaths (of a worker or a whole node) are retried by Ray
        task = ray.remote(num_cpus=1, num_gpus=self._gpus, max_retries=TRIES)(train_cell)
        passed_on = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        tries = dict.fromkeys(cells, 1)

        def submit(cell: str) -> Any:
            return task.remote(self._root, self._folder, cell, passed_on)

        running = {submit(cell): cell for cell in cells}
        while running:
            (ended,), _ = ray.wait(list(running), num_returns=1)
            cell = running.pop(ended)
            try:
                finished: Finished = ray.get(ended)
            except ray.exceptions.RayError as error:
                finished = cell, 1, " ".join(str(error).split())[:200]
            if finished[1] < 0 and tries[cell] < TRIES:  # killed by a signal, such as for want of memory
                tries[cell] += 1
                running[submit(cell)] = cell
                continue
            yield finished

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


def _record(project: Project, stage: Stage) -> str | None:
    """Why DVC could not record a trained cell; None if it did."""
    try:
        _dvc(project, "commit", "--force", stage.address)
    except UserError as error:
        return f"trained, but {error}; when that is mended: dvc commit --force {stage.address}"
    return None


def report(failures: Iterable[str]) -> None:
    """End in one line where cells failed."""
    failed = list(failures)
    if failed:
        raise UserError(f"{len(failed)} not trained, the others are recorded: {'; '.join(failed)}")


def _dvc(project: Project, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=project.paths.root, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [""]
        raise UserError(f"'dvc {' '.join(arguments[:2])}' failed: {said[-1]}")
    return done.stdout


def _end_with_parent() -> None:
    """Linux: SIGTERM when the process that started this one dies, so that a killed worker leaves no training behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
