"""Whether two cells differ: a paired bootstrap over test images and seeds."""

import argparse
import json

from dmtl.commands.shared.arguments import number, whole
from dmtl.config import for_report
from dmtl.stage import add_project, project_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="CELL_A")
    parser.add_argument("b", metavar="CELL_B", help="both evaluated; all their evaluated seeds are taken")
    parser.add_argument("--draws", type=whole(100, 100_000), default=2000)
    parser.add_argument("--level", type=number(50, 99.99), default=95, help="per cent that the intervals cover (default: 95)")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="of the draws")
    add_project(parser)
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> None:
    from dmtl.report.compare import as_json, as_text, compare, load_pair

    project = project_of(arguments)
    pair = load_pair(for_report(project), project.paths, arguments.a, arguments.b)
    differences = compare(pair, arguments.draws, arguments.level, arguments.seed)
    if arguments.json:
        print(json.dumps(as_json(pair, differences, arguments.draws, arguments.level), indent=1))
    else:
        print(as_text(pair, differences, arguments.level))
