"""MLflow, or nothing; neither can stop a training.

All of MLflow, its import included, happens in a process of its own (`python -m dmtl.tracking`) that is fed through a pipe and
outlives the training by the seconds it needs: a server that is slow, down or read-only costs one warning and no time.
history.json, not MLflow, is the record of a training.
"""

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock

from dmtl.config import Paths, Training, digest, flat
from dmtl.files import replacing

PATIENCE = 5.0  # seconds that a training which was stopped waits, so that its run can be gone on with
GIVE_UP = 60.0  # seconds after the end of the training in which everything must be written
MOST_AT_ONCE = 1000  # metrics in one of MLflow's batches

Noted = tuple[dict[str, float], int, int]  # metrics, epoch, milliseconds since 1970


class Tracker:
    """Tracks nothing."""

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Note an epoch's metrics."""

    def close(self, finished: bool) -> None:
        """End the run."""


class MlflowTracker(Tracker):
    """The training's end of the pipe. A training that goes on goes on with its run.

    Args:
        about: what `Writer` takes: `uri`, `experiment`, `name`, `params`, `tags`, `run_file`, `root`.
    """

    def __init__(self, about: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dmtl.tracking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=own_environment(),
            start_new_session=True,  # Ctrl-C is for the training, which then tells how it ended
        )
        self._send(about)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._send([metrics, step, int(time.time() * 1000)])

    def close(self, finished: bool) -> None:
        self._send(finished)
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if not finished:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)

    def _send(self, item: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # the writer has given up and said so
            self.process.stdin.write(json.dumps(item) + "\n")
            self.process.stdin.flush()


class Writer:
    """One MLflow run: experiment = benchmark, run = cell.

    Args:
        uri: the tracking server or database.
        experiment, name: of the run.
        params, tags: what describes it.
        run_file: where the run's id is kept while the training lasts.
        root: folder of artifacts and of the lock that guards a database, which breaks if two processes make it at once.
        items: what the training says: epochs, and how it ended.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        name: str,
        params: dict[str, Any],
        tags: dict[str, str],
        run_file: str,
        root: str,
        items: "queue.SimpleQueue[Noted | bool]",
    ) -> None:
        self._uri, self._experiment, self._name = uri, experiment, name
        self._params, self._tags, self._run_file, self._root = params, tags, Path(run_file), Path(root)
        self._last: dict[str, int] | None = None  # None: the run is new
        self._items = items

    def work(self) -> None:
        """Write the run until the training has ended."""
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        with guard(self._uri, self._root):
            client = MlflowClient(self._uri)
            run = self._run_id(client, experiment_id(client, self._experiment, self._root))
        finished: bool | None = None
        while finished is None:
            noted, finished = self._take()
            with guard(self._uri, self._root):
                new = [
                    Metric(name, value, at, step)
                    for metrics, step, at in noted
                    for name, value in metrics.items()
                    if step > self._last_step(client, run, name)
                ]
                for first in range(0, len(new), MOST_AT_ONCE):
                    client.log_batch(run, metrics=new[first : first + MOST_AT_ONCE])
        with guard(self._uri, self._root):
            client.set_terminated(run, "FINISHED" if finished else "KILLED")

    def _take(self) -> tuple[list[Noted], bool | None]:
        """All that waits to be written, at least one thing, and how the training ended if it has."""
        noted: list[Noted] = []
        while True:
            item = self._items.get()
            if isinstance(item, bool):
                return noted, item
            noted.append(item)
            if self._items.empty():
                return noted, None

    def _last_step(self, client: Any, run: str, name: str) -> int:
        """The last step that the run had of a metric when this process took it up: a killed training repeats some epochs."""
        if self._last is None:
            return 0
        if name not in self._last:
            self._last[name] = max((metric.step for metric in client.get_metric_history(run, name)), default=0)
        return self._last[name]

    def _run_id(self, client: Any, experiment: str) -> str:
        from mlflow.entities import Param, RunTag

        if self._run_file.exists():
            self._last = {}
            return self._run_file.read_text()
        run = client.create_run(experiment, run_name=self._name).info.run_id
        params = [Param(name, str(value)) for name, value in self._params.items()]
        client.log_batch(run, params=params, tags=[RunTag(name, value) for name, value in self._tags.items()])
        if self._run_file.parent.is_dir():  # else the training has ended already
            with replacing(self._run_file) as temporary:
                temporary.write_text(run)
        return run


def own_environment() -> dict[str, str]:
    """For a process of this package's code: the environment with its folder first on the path."""
    package = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}


def experiment_id(client: Any, name: str, root: Path) -> str:
    """The id of an experiment, which is made if it is not there, with its artifacts below `root`."""
    known = client.get_experiment_by_name(name)
    if known is not None:
        return known.experiment_id
    return client.create_experiment(name, artifact_location=(root / "mlruns" / name).as_uri())


def guard(uri: str, root: Path) -> AbstractContextManager[Any]:
    """A lock for a database, which breaks if two processes make it at once; a server guards itself."""
    if uri.startswith("http"):
        return nullcontext()
    (root / ".work").mkdir(exist_ok=True)
    return FileLock(root / ".work" / "mlflow.lock")


def tracking_uri(paths: Paths) -> str:
    """`MLFLOW_TRACKING_URI`, or `mlflow.db` in the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.root.resolve() / 'mlflow.db'}"


@contextmanager
def track(training: Training, paths: Paths, scratch: Path, parts: dict[str, Any]) -> Iterator[Tracker]:
    """The tracker of one training: MLflow at `MLFLOW_TRACKING_URI` or in `mlflow.db`; none with `DMTL_TRACKING=off`.

    `parts` are what decides the weights (`dmtl.training.loop.parts_of`); their hashes become tags.
    """
    if os.environ.get("DMTL_TRACKING") == "off":
        yield Tracker()
        return
    cell = training.cell
    root = paths.root.resolve()
    about = {
        "uri": tracking_uri(paths),
        "experiment": cell.benchmark,
        "name": cell.name(),
        "params": flat(training.model_dump(mode="json")),
        "tags": {
            "cell": cell.name(),
            "scale": paths.scale,
            "setting": cell.setting,
            "method": cell.method,
            "backbone": cell.backbone,
            **({"steps": str(cell.steps)} if cell.steps else {}),
            "seed": str(training.seed),
            "identity": digest(parts),
            "config.sha256": digest(parts["config"]),
            "data.sha256": parts["data"],
            "code.sha256": parts["code"],
            "dvc.stage": os.environ.get("DVC_STAGE", ""),
        },
        "run_file": str(scratch / "mlflow_run"),
        "root": str(root),
    }
    tracker = MlflowTracker(about)
    finished = False
    try:
        yield tracker
        finished = True
    finally:
        tracker.close(finished)


def quiet_mlflow() -> None:
    """No usage data is sent, a dead server is given up on soon, and database migrations are not news."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _main() -> None:
    """Write what comes through the pipe to MLflow; a failure is one warning."""
    os.nice(19)  # the training comes first
    quiet_mlflow()
    about = json.loads(sys.stdin.readline())
    items: queue.SimpleQueue[Noted | bool] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(items,), daemon=True).start()
    try:
        Writer(**about, items=items).work()
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        print(f"warning: MLflow at {about['uri']} is not to be had ({reason}); the run is in history.json", file=sys.stderr)


def _read(items: "queue.SimpleQueue[Noted | bool]") -> None:
    """Empty the pipe at once, whatever MLflow does, so that the training never waits for it to be read."""
    ended = False
    for line in sys.stdin:
        item = json.loads(line)
        ended = isinstance(item, bool)
        items.put(item)
    if not ended:
        items.put(False)  # the training was killed
    time.sleep(GIVE_UP)
    print("warning: MLflow does not answer; the run is in history.json", file=sys.stderr)
    os._exit(1)


if __name__ == "__main__":
    _main()
