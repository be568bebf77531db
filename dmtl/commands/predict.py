"""All tasks of your own images, as colour pictures and arrays."""

import argparse
from pathlib import Path

from dmtl.commands.shared.precision import add_precision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or glob patterns")
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL_FOLDER", help="such as models/<scale>/<cell>")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="gets a folder per image (dmtl/inference/predict.py lists its files)",
    )
    add_precision(parser)


def run(arguments: argparse.Namespace) -> None:
    from dmtl.inference.predict import predict_files

    if predict_files(arguments.images, arguments.model, arguments.out, precision=arguments.precision):
        raise SystemExit(2)
