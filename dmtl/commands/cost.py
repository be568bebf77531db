"""Parameters and multiply-adds of every row at paper size, beside the printed ones."""

import argparse
import json

from dmtl.commands.shared.arguments import number
from dmtl.stage import add_project, project_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the rows as a JSON list, unrounded")
    form.add_argument(
        "--throughput", type=number(1e6, 1e21), metavar="PER_SECOND", help="multiply-adds a second of your GPU: print GPU-hours"
    )


def run(arguments: argparse.Namespace) -> None:
    from dmtl.report.costs import Costs, as_records, as_text, hours_as_text

    costs = Costs(project_of(arguments, scale="paper"))
    if arguments.json:
        print(json.dumps(as_records(costs), indent=1))
    else:
        print(as_text(costs) if arguments.throughput is None else hours_as_text(costs, arguments.throughput))
