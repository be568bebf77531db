"""Where a run comes from: the commit, the experiment of DVC, and the parameters that differ from the commit's."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from dmtl.config import Project, resolve
from dmtl.errors import UserError
from dmtl.files import flat

COMMIT = "mlflow.source.git.commit"  # MLflow's own name, which its pages show
CHANGED = "changed."  # before a parameter that differs from what the commit says


def origin_tags(root: Path, scale: str, cell: str, params: dict[str, Any]) -> dict[str, str]:
    """The commit and each changed parameter of a run; nothing outside git.

    Args:
        root: the project's folder, or a copy of it in which DVC runs an experiment.
        scale: of the training.
        cell: of the grid.
        params: dotted key -> value of its configuration.
    """
    commit = os.environ.get("DVC_EXP_BASELINE_REV") or _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    there = _committed(root, commit.strip(), scale, cell)
    changed = {key: value for key, value in params.items() if there and there.get(key) != value}
    return {COMMIT: commit.strip(), **{f"{CHANGED}{key}": str(value) for key, value in changed.items()}}


def title(cell: str, tags: dict[str, str], taken: set[str]) -> str:
    """A name that no other run has: the cell, and what is special about this run of it.

    Args:
        cell: of the grid.
        tags: of the run; `dvc.experiment` is the name of an experiment of DVC.
        taken: names of the other runs.
    """
    changed = [f"{key.rpartition('.')[2]}={value}" for key, value in tags.items() if key.startswith(CHANGED)]
    special = tags.get("dvc.experiment") or ", ".join(changed[:3])
    name = f"{cell} ({special})" if special else cell
    numbers = (f"{name} #{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in numbers if other not in taken)


def _committed(root: Path, commit: str, scale: str, cell: str) -> dict[str, Any]:
    """The configuration that a commit's files give the cell; empty where they know no such cell."""
    texts = {name: _git(root, "show", f"{commit}:./{name}") for name in ("params.yaml", "grid.yaml")}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            if text is None:
                return {}
            (Path(folder) / name).write_text(text, encoding="utf-8")
        try:
            project = Project(Path(folder), scale)
            return flat(resolve(project, project.cell(cell)).model_dump(mode="json"))
        except UserError:
            return {}


def _git(root: Path, *arguments: str) -> str | None:
    """What git says, or None: there is no git, no repository or no such file."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    except (OSError, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None
