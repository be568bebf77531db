"""A project of your own images: looks at folders of images and labels, says what is there, and writes a folder to run."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="NAME", help="the project's folder; its name is the benchmark's")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folders with 'image' and a folder for each task (docs/own-data.md); without it the project is looked at again",
    )
    parser.add_argument("--dry-run", action="store_true", help="look and say, but write nothing")
    parser.add_argument("--skip-broken", action="store_true", help="leave out images that are broken or do not fit")


def run(arguments: argparse.Namespace) -> None:
    from dmtl.init import command

    command.run(arguments.folder, arguments.data, dry=arguments.dry_run, skip_broken=arguments.skip_broken)
