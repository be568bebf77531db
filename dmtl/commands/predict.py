"""All tasks of your own images, as colour pictures and arrays."""

import argparse
from pathlib import Path

from dmtl.arguments import whole
from dmtl.commands.shared.precision import add_precision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or glob patterns")
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL_FOLDER", help="such as models/<scale>/<cell>")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="gets a folder per image (dmtl/inference/files.py lists them)",
    )
    add_precision(parser)
    parser.add_argument(
        "--processes", type=whole(0, 1024), help="that read and write images (default: as many as pay; 0: this one)"
    )


def run(arguments: argparse.Namespace) -> None:
    from dmtl.inference.predict import predict_files

    found = arguments.images, arguments.model, arguments.out
    if predict_files(*found, precision=arguments.precision, processes=arguments.processes):
        raise SystemExit(2)
