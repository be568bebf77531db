"""Cells as Ray tasks, each stage as a command in a process of its own."""

import logging
import os
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from dmtl.errors import UserError
from dmtl.launch.events import Event, Stop
from dmtl.launch.stage_run import run_command
from dmtl.launch.stale import Work

TRIES = 3  # of a cell whose worker or process dies; each goes on where the last one was
PASSED_ON = ("DMTL_", "MLFLOW_")  # environment variables that a worker elsewhere must know


class RayRunner:
    """Runs cells as Ray tasks, each on its own GPUs.

    Args:
        root: the project's folder, the same path on every machine (a shared folder).
        address: of a running cluster (`auto` finds this machine's).
        gpus: GPUs per cell; None: 1 where the cluster has any, else 0.

    Raises:
        UserError: Ray is not installed, the cluster does not answer or has fewer GPUs.
    """

    def __init__(self, root: Path, address: str, gpus: float | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError:
            raise UserError("--address needs Ray: pip install 'dmtl[cluster]'") from None
        self._ray, self._root = ray, root.resolve()
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise UserError(f"no Ray cluster at '{address}' ({' '.join(str(error).split())[:120]}): ray start --head") from None
        present = ray.cluster_resources().get("GPU", 0)
        self._gpus = float(present > 0) if gpus is None else gpus
        if self._gpus > present:
            raise UserError(f"--gpus-per-cell {self._gpus:g}: the cluster has {present:g} GPUs; give at most that, or 0")

    def __call__(self, works: list[Work], stop: Stop) -> Generator[Event | None, None, None]:
        """Run the stages of each cell; yields each as its cell ends. What was killed is tried again, and goes on."""
        ray = self._ray
        # the system's own deaths (of a worker or a whole node) are retried by Ray
        task = ray.remote(num_cpus=1, num_gpus=self._gpus, max_retries=TRIES)(run_cell)
        passed_on = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        tries = {work.cell: 1 for work in works}

        def submit(work: Work) -> Any:
            return task.remote(self._root, work, passed_on)

        running = {submit(work): work for work in works}
        try:
            while running and not stop.requested:
                for ended in ray.wait(list(running), num_returns=1, timeout=1)[0]:
                    work = running.pop(ended)
                    try:
                        events = ray.get(ended)
                    except ray.exceptions.RayError as error:
                        events = [Event(work.stages[0], work.cell, 1, " ".join(str(error).split())[:200])]
                    killed = (events[-1].status or 0) < 0  # by a signal, such as for want of memory
                    if killed and tries[work.cell] < TRIES:
                        tries[work.cell] += 1
                        running[submit(work)] = work
                        continue
                    yield from events
                yield None
        finally:
            ray.shutdown()  # what still runs is told to stop, and saves, as its worker dies


def run_cell(root: Path, work: Work, environment: Mapping[str, str]) -> list[Event]:
    """Run a cell's stages, one after the other, up to one that fails; this is what a worker does."""
    events = []
    for stage in work.stages:
        begun = time.monotonic()
        status, line = run_command(root, stage, work.cell, environment)
        events.append(Event(stage, work.cell, status, line if status else "", time.monotonic() - begun))
        if status:
            break
    return events
