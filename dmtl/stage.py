"""What the scripts in `stages/` and the commands share: the project that they work on, and how a stage runs."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from dmtl.commands.shared.arguments import Parser
from dmtl.config import Project
from dmtl.errors import one_line_errors


def run_stage(description: str | None, target: str | None, work: Callable[..., str | None]) -> None:
    """Read the command line of a stage and do its work.

    Args:
        description: what the stage does, for `--help`.
        target: the name of its one argument (`cell` or `benchmark`), or None.
        work: called with the project and, if there is one, the argument; returns what came of it, in a line.
    """
    parser = Parser(description=description)
    if target:
        told = _told_by_dvc()
        if told:
            parser.add_argument(target, nargs="?", default=told)
        else:
            parser.add_argument(target)
    add_project(parser)
    arguments = parser.parse_args()
    with one_line_errors():
        if result := work(project_of(arguments), *([getattr(arguments, target)] if target else [])):
            print(result, flush=True)


def _told_by_dvc() -> str | None:
    """What of its stage's name stands behind the `@`, where DVC runs this: so no key of a file becomes part of a shell's line."""
    stage = f"{Path(sys.argv[0]).stem}@"
    _, found, target = os.environ.get("DVC_STAGE", "").partition(stage)
    return target if found else None


def add_project(parser: argparse.ArgumentParser) -> None:
    """`--project`, for `project_of`."""
    parser.add_argument("--project", default=".", metavar="FOLDER", help="folder of params.yaml, grid.yaml and dvc.yaml")


def project_of(arguments: argparse.Namespace, scale: str | None = None) -> Project:
    """The project that a command line names, at the scale of its params.yaml unless another is given.

    Raises:
        UserError: its params.yaml or grid.yaml is missing or is no YAML mapping.
    """
    project = Project(Path(arguments.project), scale)
    if project.own is not None:  # imported here: a training needs to know nothing of benchmarks
        from dmtl.benchmarks import read_own

        read_own(project.paths.root)
    return project
