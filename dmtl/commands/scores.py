"""The metrics of a file of per-image statistics, or of all shares of one."""

import argparse
from pathlib import Path

from dmtl.commands.shared import scores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="what 'evaluate' wrote: results/<scale>/<cell>.npz")
    scores.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from dmtl.metrics.per_image import load_per_image, merge

    scores.print_scores(merge([load_per_image(file) for file in arguments.files]), arguments)
