"""What the scripts in `stages/` share: their command line and their errors."""

import argparse
from collections.abc import Callable
from pathlib import Path

from dmtl.config import Project
from dmtl.errors import one_line_errors

ROOT = Path(__file__).resolve().parents[1]


def run_stage(description: str | None, target: str | None, work: Callable[..., None], root: Path = ROOT) -> None:
    """Read the command line of a stage and do its work.

    Args:
        description: what the stage does, for `--help`.
        target: the name of its one argument (`cell` or `benchmark`), or None.
        work: called with the project and, if there is one, the argument.
        root: the repository's root.
    """
    parser = argparse.ArgumentParser(description=description)
    if target:
        parser.add_argument(target)
    parser.add_argument("--project", default=".", metavar="FOLDER", help="folder of params.yaml and grid.yaml")
    arguments = vars(parser.parse_args())
    with one_line_errors():
        project = Project(root, arguments.pop("project"))
        work(project, *arguments.values())
