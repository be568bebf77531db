"""Cells trained as Ray tasks, each by its stage command in a process of its own."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dmtl.errors import UserError
from dmtl.launch.grid import Finished

TRIES = 3  # of a cell whose worker or process dies; each goes on where the last one was
LOCK_SECONDS = 60.0  # that a cell waits for the process of a dead worker to save and let go of it
PASSED_ON = ("DMTL_", "MLFLOW_")  # environment variables that a worker elsewhere must know


class RayRunner:
    """Trains cells as Ray tasks, each on its own GPUs.

    Args:
        root: the project's root, the same path on every machine (a shared folder).
        folder: of params.yaml, relative to it.
        address: of a running cluster (`auto` finds this machine's); None starts one on this machine alone.
        gpus: GPUs per cell; None: 1 where the cluster has any, else 0.

    Raises:
        UserError: Ray is not installed, the cluster does not answer or has fewer GPUs.
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
        last_line = (done.stderr.strip().splitlines() or [""])[-1]
        locked = done.returncode != 0 and "another process is training this cell" in last_line
        if not locked or time.monotonic() > deadline:
            return cell, done.returncode, last_line
        time.sleep(1)


def _end_with_parent() -> None:
    """Linux: SIGTERM when the process that started this one dies, so that a killed worker leaves no training behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
