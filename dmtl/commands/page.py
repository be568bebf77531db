"""Where the report's page is, and with --open the page itself."""

import argparse
import webbrowser

from dmtl.errors import UserError
from dmtl.stage import add_project, project_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--open", action="store_true", help="open it in a browser")
    add_project(parser)


def run(arguments: argparse.Namespace) -> None:
    page = project_of(arguments).paths.reports() / "index.html"
    if not page.is_file():
        raise UserError(f"{page} is missing: run 'dvc repro --single-item report'")
    print(f"the page: {page}")
    if arguments.open and not webbrowser.open(page.resolve().as_uri()):
        raise UserError(f"no browser could be opened: open {page} yourself")
