"""Per benchmark: what is there, what is missing, what was verified, what it costs."""

import argparse

from dmtl.stage import add_project, project_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--get", metavar="NAME", help="first get a benchmark, 'mappings', 'weights' or what else is published")
    parser.add_argument("--verify", action="store_true", help="hash every listed file again")
    add_project(parser)


def run(arguments: argparse.Namespace) -> None:
    from dmtl.prepare.inventory import inventory
    from dmtl.prepare.places import downloads_path
    from dmtl.prepare.publications import get

    project = project_of(arguments)
    if arguments.get:
        get(downloads_path(project.paths.root), arguments.get)
    print(inventory(project, arguments.verify))
