"""What a training holds of MLflow, or of nothing; neither can stop it.

All of MLflow, its import included, happens in a process of its own (`dmtl.tracking.writer`), which is fed through a pipe and
outlives the training by the seconds it needs: a server that is slow, down or read-only costs one warning and no time. The record
of a training is history.json, not MLflow.
"""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmtl.config import Paths, TrainingConfig
from dmtl.files import flat
from dmtl.tracking.store import is_off, outlives, start_process, tracking_uri, wait_for

if TYPE_CHECKING:
    from dmtl.training.fingerprint import Fingerprint

PATIENCE = 5.0  # seconds that a training which was stopped waits, so that its run can be gone on with


@dataclass(frozen=True)
class Description:
    """One MLflow run, for JSON.

    Attributes:
        uri: the tracking server or database.
        experiment: the benchmark.
        name: the cell.
        scale: of the training.
        params: dotted key -> value of the configuration.
        tags: what the run is found by.
        run_file: where the run's id is kept while the training lasts.
        root: the project's folder, or the copy of it in which DVC runs an experiment.
    """

    uri: str
    experiment: str
    name: str
    scale: str
    params: dict[str, Any]
    tags: dict[str, str]
    run_file: str
    root: str


class Tracker:
    """Tracks nothing."""

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Note an epoch's metrics."""

    def close(self, finished: bool) -> None:
        """End the run."""


class MlflowTracker(Tracker):
    """The training's end of the pipe. A training that goes on goes on with its run."""

    def __init__(self, description: Description) -> None:
        self.process = start_process("dmtl.tracking.writer", stdin=subprocess.PIPE)
        self._outlives = outlives(Path(description.root))
        self._send(asdict(description))

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._send(
            [{f"train/{name.removeprefix('all/')}": value for name, value in metrics.items()}, step, int(time.time() * 1000)]
        )

    def close(self, finished: bool) -> None:
        self._send(finished)
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if not self._outlives:
            wait_for(self.process)
        elif not finished:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)

    def _send(self, item: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # the writer has given up and said so
            self.process.stdin.write(json.dumps(item) + "\n")
            self.process.stdin.flush()


@contextmanager
def track(training: TrainingConfig, paths: Paths, resume_folder: Path, fingerprint: "Fingerprint") -> Iterator[Tracker]:
    """The tracker of one training: MLflow at `MLFLOW_TRACKING_URI` or in `mlflow.db`; none with `DMTL_TRACKING=off`.

    Args:
        training: what is trained; its configuration becomes the run's parameters.
        paths: of the project.
        resume_folder: kept while the training lasts, so that a training that goes on finds its run.
        fingerprint: whose hashes become tags.
    """
    if is_off():
        yield Tracker()
        return
    tracker = MlflowTracker(
        Description(
            uri=tracking_uri(),
            experiment=training.cell.benchmark,
            name=training.name,
            scale=paths.scale,
            params=flat(training.model_dump(mode="json")),
            tags=_tags(training, paths, fingerprint),
            run_file=str(resume_folder.resolve() / "mlflow_run"),
            root=str(paths.root.resolve()),
        )
    )
    finished = False
    try:
        yield tracker
        finished = True
    finally:
        tracker.close(finished)


def _tags(training: TrainingConfig, paths: Paths, fingerprint: "Fingerprint") -> dict[str, str]:
    cell, experiment = training.cell, os.environ.get("DVC_EXP_NAME")
    return {
        "cell": training.name,
        "scale": paths.scale,
        "setting": cell.setting,
        "method": cell.method,
        "backbone": cell.backbone,
        **({"steps": str(cell.steps)} if cell.steps else {}),
        "seed": str(training.seed),
        "fingerprint": fingerprint.value,
        "config.sha256": fingerprint.config_sha256,
        "data.sha256": fingerprint.data,
        "code.sha256": fingerprint.code,
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        **({"dvc.experiment": experiment} if experiment else {}),
        "model.path": str(paths.model(training.name).relative_to(paths.root)),
    }
