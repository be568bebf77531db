"""`--precision` and `--device` of the commands that predict."""

import argparse


def add_precision(parser: argparse.ArgumentParser) -> None:
    """What `dmtl.inference.folding.load_for_inference` takes; None where the network is to be used as it was trained."""
    parser.add_argument(
        "--precision",
        choices=("32-true", "bf16-mixed"),
        help="fold the batch norms and predict in this precision, which is faster (default: as trained, in float32)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """What `dmtl.Predictor` takes."""
    parser.add_argument("--device", metavar="NAME", help="such as cpu or cuda:1 (default: a GPU where there is one)")
