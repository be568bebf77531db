"""MLflow, or nothing; neither can stop a training.

All of MLflow, its import included, happens in a thread of its own that is fed through a queue: a server that is slow, down or
read-only costs one warning and at most a few seconds at the end. history.json, not MLflow, is the record of a training.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from dmtl.config import Paths, Training, digest, flat
from dmtl.files import replacing

PATIENCE = 3.0  # seconds that the end of a training waits for a server
LOCAL_PATIENCE = 15.0  # and for a database of this machine, which may have to be made first
MOST_AT_ONCE = 1000  # metrics in one of MLflow's batches
log = logging.getLogger(__name__)

Noted = tuple[dict[str, float], int, int]  # metrics, epoch, milliseconds since 1970


class Tracker:
    """Tracks nothing."""

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Note an epoch's metrics."""

    def close(self, finished: bool) -> None:
        """End the run."""


class MlflowTracker(Tracker):
    """One MLflow run: experiment = benchmark, run = cell. A training that goes on goes on with its run.

    Args:
        uri: the tracking server or database.
        experiment, name: of the run.
        params, tags: what describes it.
        run_file: where the run's id is kept while the training lasts.
        root: folder of artifacts and of the lock under which a new database is made.
    """

    def __init__(
        self, uri: str, experiment: str, name: str, params: dict[str, Any], tags: dict[str, str], run_file: Path, root: Path
    ) -> None:
        self._uri, self._experiment, self._name = uri, experiment, name
        self._params, self._tags, self._run_file, self._root = params, tags, run_file, root
        self._last: dict[str, int] | None = None  # None: the run is new
        self._queue: queue.SimpleQueue[Noted | bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work_safely, daemon=True)
        self._thread.start()

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._queue.put((metrics, step, int(time.time() * 1000)))

    def close(self, finished: bool) -> None:
        self._queue.put(finished)
        self._thread.join(PATIENCE if self._uri.startswith("http") else LOCAL_PATIENCE)
        if self._thread.is_alive():
            log.warning("MLflow at %s does not answer; the run is in history.json all the same", self._uri)

    def _work_safely(self) -> None:
        try:
            self._work()
        except Exception as error:
            log.warning("MLflow at %s is not to be had (%s); training goes on without it", self._uri, error)

    def _work(self) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        with FileLock(self._root / ".work" / "mlflow.lock"):  # making a fresh database twice at once breaks it
            client = MlflowClient(self._uri)
            experiment = self._experiment_id(client)
        run = self._run_id(client, experiment)
        finished: bool | None = None
        while finished is None:
            noted, finished = self._take()
            new = [
                Metric(name, value, at, step)
                for metrics, step, at in noted
                for name, value in metrics.items()
                if step > self._last_step(client, run, name)
            ]
            for first in range(0, len(new), MOST_AT_ONCE):
                client.log_batch(run, metrics=new[first : first + MOST_AT_ONCE])
        client.set_terminated(run, "FINISHED" if finished else "KILLED")

    def _take(self) -> tuple[list[Noted], bool | None]:
        """All that waits to be written, at least one thing, and how the training ended if it has."""
        noted: list[Noted] = []
        while True:
            item = self._queue.get()
            if isinstance(item, bool):
                return noted, item
            noted.append(item)
            if self._queue.empty():
                return noted, None

    def _last_step(self, client: Any, run: str, name: str) -> int:
        """The last step that the run had of a metric when this process took it up: a killed training repeats some epochs."""
        if self._last is None:
            return 0
        if name not in self._last:
            self._last[name] = max((metric.step for metric in client.get_metric_history(run, name)), default=0)
        return self._last[name]

    def _experiment_id(self, client: Any) -> str:
        known = client.get_experiment_by_name(self._experiment)
        if known is not None:
            return known.experiment_id
        return client.create_experiment(self._experiment, artifact_location=(self._root / "mlruns" / self._experiment).as_uri())

    def _run_id(self, client: Any, experiment: str) -> str:
        from mlflow.entities import Param, RunTag

        if self._run_file.exists():
            self._last = {}
            return self._run_file.read_text()
        run = client.create_run(experiment, run_name=self._name).info.run_id
        params = [Param(name, str(value)) for name, value in self._params.items()]
        client.log_batch(run, params=params, tags=[RunTag(name, value) for name, value in self._tags.items()])
        with replacing(self._run_file) as temporary:
            temporary.write_text(run)
        return run


@contextmanager
def track(training: Training, paths: Paths, scratch: Path, parts: dict[str, Any]) -> Iterator[Tracker]:
    """The tracker of one training: MLflow at `MLFLOW_TRACKING_URI` or in `mlflow.db`; none with `DMTL_TRACKING=off`.

    `parts` are what decides the weights (`dmtl.training.loop.parts_of`); their hashes become tags.
    """
    if os.environ.get("DMTL_TRACKING") == "off":
        yield Tracker()
        return
    _quiet_mlflow()
    cell = training.cell
    root = paths.root.resolve()
    tracker = MlflowTracker(
        uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}",
        experiment=cell.benchmark,
        name=cell.name(),
        params=flat(training.model_dump(mode="json")),
        tags={
            "cell": cell.name(),
            "scale": paths.scale,
            "setting": cell.setting,
            "method": cell.method,
            "config.sha256": digest(parts["config"]),
            "data.sha256": parts["data"],
            "code.sha256": parts["code"],
            "dvc.stage": os.environ.get("DVC_STAGE", ""),
        },
        run_file=scratch / "mlflow_run",
        root=root,
    )
    finished = False
    try:
        yield tracker
        finished = True
    finally:
        tracker.close(finished)


def _quiet_mlflow() -> None:
    """No usage data is sent, a dead server is given up on soon, and database migrations are not news."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
