"""The process that writes one training to MLflow: `python -m dmtl.tracking.writer`, fed by `MlflowTracker` through a pipe."""

import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

from dmtl.files import replacing
from dmtl.tracking.origin import origin_tags, title
from dmtl.tracking.store import LONGEST_WAIT, NICE, enter_home, experiment_id, guard, quiet_mlflow, reason
from dmtl.tracking.training import Description

MOST_AT_ONCE = 1000  # metrics in one of MLflow's batches

Epoch = tuple[dict[str, float], int, int]  # metrics, step, milliseconds since 1970
Items = queue.SimpleQueue[Epoch | bool]  # a bool is the end: whether the training finished


class Writer:
    """Writes one MLflow run: experiment = benchmark, run = cell.

    Args:
        description: of the run.
        items: the epochs of the training, and how it ended.
    """

    def __init__(self, description: Description, items: "Items") -> None:
        self._run, self._items = description, items
        self._root, self._run_file = Path(description.root), Path(description.run_file)
        self._tags = description.tags | origin_tags(self._root, description.scale, description.name, description.params)
        self._home = enter_home(self._root)
        self._last: dict[str, int] | None = None  # metric -> its last step before this process; None: the run is new

    def work(self) -> None:
        """Write the run until the training has ended.

        Raises:
            Exception: whatever MLflow raises.
        """
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        with guard(self._run.uri, self._home):
            client = MlflowClient(self._run.uri)
            experiment = experiment_id(client, self._run.experiment, self._run.uri, self._home)
            run = self._run_id(client, experiment)
        finished: bool | None = None
        while finished is None:
            epochs, finished = self._take()
            with guard(self._run.uri, self._home):
                new = [
                    Metric(name, value, at, step)
                    for metrics, step, at in epochs
                    for name, value in metrics.items()
                    if step > self._last_step(client, run, name)
                ]
                for first in range(0, len(new), MOST_AT_ONCE):
                    client.log_batch(run, metrics=new[first : first + MOST_AT_ONCE])
        with guard(self._run.uri, self._home):
            client.set_terminated(run, "FINISHED" if finished else "KILLED")
            if finished:
                self._log_model(client, experiment, run)

    def _take(self) -> tuple[list[Epoch], bool | None]:
        """All that waits to be written, at least one thing, and how the training ended if it has."""
        epochs: list[Epoch] = []
        while True:
            item = self._items.get()
            if isinstance(item, bool):
                return epochs, item
            epochs.append(item)
            if self._items.empty():
                return epochs, None

    def _last_step(self, client: Any, run: str, name: str) -> int:
        """The last step that the run had of a metric when this process took it up: a killed training repeats some epochs."""
        if self._last is None:
            return 0
        if name not in self._last:
            self._last[name] = max((metric.step for metric in client.get_metric_history(run, name)), default=0)
        return self._last[name]

    def _log_model(self, client: Any, experiment: str, run: str) -> None:
        """The model by its path: its weights are outputs of DVC, which a copy here would only double."""
        tags = {"mlflow.model.isExternal": "true", "path": self._tags["model.path"]} if "model.path" in self._tags else None
        if tags:
            model = client.create_logged_model(experiment, self._run.name, run, tags, model_type=self._tags.get("method"))
            client.finalize_logged_model(model.model_id, "READY")

    def _run_id(self, client: Any, experiment: str) -> str:
        from mlflow.entities import Param, RunTag

        if self._run_file.exists():
            self._last = {}
            return self._run_file.read_text()
        others = client.search_runs([experiment], f"tags.cell = '{self._run.name}'", max_results=MOST_AT_ONCE)
        name = title(self._run.name, self._tags, {other.info.run_name for other in others})
        run = client.create_run(experiment, run_name=name).info.run_id
        params = [Param(name, str(value)) for name, value in self._run.params.items()]
        client.log_batch(run, params=params, tags=[RunTag(name, value) for name, value in self._tags.items()])
        if self._run_file.parent.is_dir():  # else the training has ended already
            with replacing(self._run_file) as temporary:
                temporary.write_text(run)
        return run


def main() -> None:
    """Write what comes through the pipe to MLflow; a failure is one warning."""
    os.nice(NICE)
    quiet_mlflow()
    description = Description(**json.loads(sys.stdin.readline()))
    items: Items = queue.SimpleQueue()
    threading.Thread(target=_read, args=(items,), daemon=True).start()
    try:
        Writer(description, items).work()
    except Exception as error:
        print(
            f"warning: MLflow at {description.uri} does not take the run ({reason(error)}); it is in history.json",
            file=sys.stderr,
        )


def _read(items: "Items") -> None:
    """Empty the pipe at once, whatever MLflow does, so that the training never waits for it to be read."""
    ended = False
    for line in sys.stdin:
        item = json.loads(line)
        ended = isinstance(item, bool)
        items.put(item)
    if not ended:
        items.put(False)  # the training was killed
    time.sleep(LONGEST_WAIT)
    print("warning: MLflow does not answer; the run is in history.json", file=sys.stderr)
    os._exit(1)


if __name__ == "__main__":
    main()
