"""The cells of a table as targets of DVC, for dvc repro $(...)."""

import argparse

from dmtl.config import for_report
from dmtl.stage import add_project, project_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table", type=int, choices=range(1, 7), help="1 to 5: of the paper, 6: beyond it (default: every cell of the grid)"
    )
    parser.add_argument(
        "--stage", choices=("train", "evaluate"), default="evaluate", help="default: evaluate, which trains first"
    )
    add_project(parser)


def run(arguments: argparse.Namespace) -> None:
    from dmtl.report.table_cells import cells_of_table

    grid = for_report(project_of(arguments))
    for key in cells_of_table(arguments.table, grid) if arguments.table else grid.cells:
        print(f"{arguments.stage}@{key}")
