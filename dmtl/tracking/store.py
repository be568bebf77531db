"""Where MLflow keeps runs, and the processes that write there: what a training and a report share."""

import logging
import os
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock

from dmtl.config import Paths


def is_off() -> bool:
    """Whether the user wants no tracking: `DMTL_TRACKING=off`."""
    return os.environ.get("DMTL_TRACKING") == "off"


def tracking_uri(paths: Paths) -> str:
    """`MLFLOW_TRACKING_URI`, or `mlflow.db` in the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.root.resolve() / 'mlflow.db'}"


def guard(uri: str, root: Path) -> AbstractContextManager[Any]:
    """A lock for a database, which breaks if two processes make it at once; a server guards itself."""
    if uri.startswith("http"):
        return nullcontext()
    (root / ".work").mkdir(exist_ok=True)
    return FileLock(root / ".work" / "mlflow.lock")


def experiment_id(client: Any, name: str, root: Path) -> str:
    """The id of an experiment, which is made if it is not there, with its artifacts below `root`."""
    known = client.get_experiment_by_name(name)
    if known is not None:
        return known.experiment_id
    return client.create_experiment(name, artifact_location=(root / "mlruns" / name).as_uri())


def quiet_mlflow() -> None:
    """No usage data is sent, a dead server is given up on soon, and database migrations are not news."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


def start_process(module: str, *arguments: str, **streams: Any) -> "subprocess.Popen[str]":
    """Run a module of this package's own code in a process that outlives this one; Ctrl-C does not reach it.

    Args:
        module: its dotted name.
        arguments: of its command line.
        streams: `stdin`, as `subprocess.Popen` takes it.
    """
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
        **streams,
    )


def reason(error: Exception) -> str:
    """Why MLflow failed, in one line."""
    return " ".join(str(error).split())[:300]
