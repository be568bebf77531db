"""Train and evaluate all stale cells of the grid on every GPU or CPU of this machine, or over Ray."""

import argparse
from collections.abc import Generator
from typing import TYPE_CHECKING

from dmtl.commands.shared.arguments import number, whole
from dmtl.errors import UserError
from dmtl.stage import add_project, project_of

if TYPE_CHECKING:
    from dmtl.launch.events import Event, Stop
    from dmtl.launch.stale import Work


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cells", nargs="*", metavar="CELL", help="only these (default: all that DVC finds stale)")
    parser.add_argument(
        "-S", "--set", action="append", default=[], metavar="KEY=VALUE", help="a value of params.yaml, written there"
    )
    parser.add_argument(
        "--workers", type=whole(1, 1024), metavar="N", help="cells at a time (default: what GPUs, or cores, allow)"
    )
    parser.add_argument(
        "--cells-per-gpu", type=whole(1, 64), default=1, metavar="N", help="that share a GPU where memory allows (1)"
    )
    parser.add_argument("--address", help="of a running Ray cluster, such as auto (default: this machine alone, without Ray)")
    parser.add_argument(
        "--gpus-per-cell", type=number(0, 64), metavar="N", help="with --address: default 1 where there are GPUs, else 0"
    )
    add_project(parser)


def run(arguments: argparse.Namespace) -> None:
    from dmtl.launch.grid import launch, require_all_done
    from dmtl.launch.outputs import code_state
    from dmtl.launch.overrides import set_values

    _require_sense(arguments)
    code, project = code_state(), project_of(arguments)
    if arguments.set:
        set_values(project, arguments.set)
        project = project_of(arguments)

    def runner(works: "list[Work]", stop: "Stop") -> "Generator[Event | None, None, None]":
        if arguments.address:  # called only where something is stale: no cluster and no pool is started for nothing
            from dmtl.launch.ray_runner import RayRunner

            return RayRunner(project.paths.root, arguments.address, arguments.gpus_per_cell)(works, stop)
        from dmtl.launch.local_runner import LocalRunner

        return LocalRunner(project, code, arguments.workers, arguments.cells_per_gpu)(works, stop)

    require_all_done(launch(project, arguments.cells, code, runner))


def _require_sense(arguments: argparse.Namespace) -> None:
    twice = [cell for cell in dict.fromkeys(arguments.cells) if arguments.cells.count(cell) > 1]
    if twice:
        raise UserError(f"the cell '{twice[0]}' stands there twice: name each once")
    if arguments.gpus_per_cell is not None and not arguments.address:
        raise UserError("--gpus-per-cell is for --address; on this machine --cells-per-gpu says how many share one")
