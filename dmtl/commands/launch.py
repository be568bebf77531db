"""Train all stale cells of the grid on every GPU or CPU there is, over Ray."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dmtl.stage import add_project, project_of

if TYPE_CHECKING:
    from dmtl.launch.grid import Finished


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cells", nargs="*", metavar="CELL", help="only these (default: all that DVC finds stale)")
    parser.add_argument("--address", help="of a running Ray cluster, such as auto (default: this machine alone)")
    parser.add_argument("--gpus-per-cell", type=float, metavar="N", help="default: 1 where the cluster has GPUs, else 0")
    add_project(parser)


def run(arguments: argparse.Namespace) -> None:
    from dmtl.launch.grid import launch, require_all_trained
    from dmtl.launch.ray_runner import RayRunner

    project = project_of(arguments)

    def train(cells: list[str]) -> "Iterator[Finished]":
        if cells:  # no cluster is started for nothing
            runner = RayRunner(project.paths.root, arguments.project, arguments.address, arguments.gpus_per_cell)
            yield from runner(cells)
            runner.close()

    require_all_trained(launch(project, arguments.project, arguments.cells, train))
