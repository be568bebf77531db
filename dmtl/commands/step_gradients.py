"""Whether the losses of denoising steps and tasks pull together: cosines of their gradients, for the report's figure."""

import argparse

from dmtl.commands.shared.arguments import whole
from dmtl.config import for_training
from dmtl.stage import add_project, project_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", metavar="CELL", help="a trained cell of the diffusion family")
    parser.add_argument("--batches", type=whole(1, 10_000), default=4, help="of the training's first ones (default: 4)")
    add_project(parser)


def run(arguments: argparse.Namespace) -> None:
    from dmtl.evaluation.step_gradients import measure
    from dmtl.files import write_json

    project = project_of(arguments)
    path = project.paths.step_gradients(arguments.cell)
    write_json(path, measure(for_training(project, arguments.cell), project.paths, arguments.batches))
    print(f"{path}; the next report shows it")
