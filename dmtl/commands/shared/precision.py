"""`--precision` of the commands that predict."""

import argparse


def add_precision(parser: argparse.ArgumentParser) -> None:
    """What `dmtl.inference.folding.load_for_inference` takes; None where the network is to be used as it was trained."""
    parser.add_argument(
        "--precision",
        choices=("32-true", "bf16-mixed"),
        help="fold the batch norms and predict in this precision, which is faster (default: as trained, in float32)",
    )
