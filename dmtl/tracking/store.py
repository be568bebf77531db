"""Where MLflow keeps runs, and the processes that write there: what a training and a report share."""

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock

from dmtl.files import original

OWN = "sqlite:///mlflow.db"  # of a checkout, in whose folder its writers work: so no character of the folder's name matters
_MOVE_RUNS = "update runs set artifact_uri = ? || substr(artifact_uri, ?)"
NICE = 5  # the training comes first; at 19 a run would wait for ever on cores that are all taken, and be lost
LONGEST_WAIT = 180.0  # seconds after its end in which what a stage tells MLflow must be written


def is_off() -> bool:
    """Whether the user wants no tracking: `DMTL_TRACKING=off`."""
    return os.environ.get("DMTL_TRACKING") == "off"


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or `mlflow.db` in the folder that `enter_home` goes to."""
    return os.environ.get("MLFLOW_TRACKING_URI") or OWN


def enter_home(root: Path) -> Path:
    """Work in the checkout that keeps a project's runs: the project's folder or, of an experiment's copy, the original's."""
    home = original(root)
    os.chdir(home)
    if (home / "mlflow.db").is_file() and tracking_uri() == OWN:
        _move_artifacts(home)
    return home


def _move_artifacts(home: Path) -> None:
    """Make a database that was copied or moved with its checkout name the artifacts beside it, not those of the other checkout.

    MLflow keeps whole paths, of experiments and of runs, and has no call that changes them.
    """
    here = _beside(home, "")
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(home / "mlflow.db", timeout=LONGEST_WAIT)) as database,
    ):
        for number, there in database.execute("select experiment_id, artifact_location from experiments").fetchall():
            before, mlruns, name = there.rpartition("/mlruns/")
            if mlruns and before.startswith("file:") and f"{before}{mlruns}" != here:
                old = f"{there}/"
                values = (f"{here}{name}/", len(old) + 1, number, len(old), old)
                database.execute(f"{_MOVE_RUNS} where experiment_id = ? and substr(artifact_uri, 1, ?) = ?", values)
                database.execute("update experiments set artifact_location = ? where experiment_id = ?", (here + name, number))
        database.commit()


def guard(uri: str, home: Path) -> AbstractContextManager[Any]:
    """A lock for a database, which breaks if two processes make it at once; a server guards itself."""
    if uri.startswith("http"):
        return nullcontext()
    (home / ".work").mkdir(exist_ok=True)
    return FileLock(home / ".work" / "mlflow.lock")


def experiment_id(client: Any, name: str, uri: str, home: Path) -> str:
    """The id of an experiment, which is made if it is not there.

    Its artifacts go below `mlruns` in the checkout or, of another SQLite database, beside that; elsewhere the server says where.
    """
    known = client.get_experiment_by_name(name)
    if known is not None:
        return known.experiment_id
    if not uri.startswith("sqlite:"):
        return client.create_experiment(name)
    folder = home if uri == OWN else Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve().parent
    return client.create_experiment(name, artifact_location=_beside(folder, name))


def _beside(folder: Path, experiment: str) -> str:
    return f"{(folder / 'mlruns').as_uri()}/{quote(experiment)}"


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
    # Found as what lies in the folder that it starts in: a folder's name may hold the `:` that separates those of PYTHONPATH.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        env=environment,
        start_new_session=True,
        **streams,
    )


def start_for(root: Path, module: str) -> None:
    """Start a process of this package for a project; nobody waits for it but in an experiment's copy."""
    process = start_process(module, str(root))
    if not outlives(root):
        wait_for(process)


def outlives(root: Path) -> bool:
    """Whether a process may write on when its stage has ended: not in an experiment's copy, which DVC then deletes."""
    return original(root) == root.resolve()


def wait_for(process: "subprocess.Popen[str]") -> None:
    """Wait until a process has written to MLflow, but not for ever."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LONGEST_WAIT)


def reason(error: Exception) -> str:
    """Why MLflow failed, in one line."""
    return " ".join(str(error).split())[:300]
