"""Score boundary maps against label maps: ODS, OIS and AP, without MATLAB."""

import argparse
from pathlib import Path

from dmtl.commands.shared.arguments import number, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("soft", type=Path, metavar="SOFT_DIR", help="8-bit PNGs, 255 = surely a boundary")
    parser.add_argument("labels", type=Path, metavar="LABEL_DIR", help="label maps, PNGs of the same names")
    parser.add_argument("--counts", type=Path, metavar="OUT_DIR", help="also write each image's counts at every threshold")
    parser.add_argument("--workers", type=whole(1, 1024), default=1, help="processes (default: 1)")
    parser.add_argument(
        "--max-dist", type=number(0, 1, above=True), default=0.0075, help="tolerance as a share of the diagonal (default: 0.0075)"
    )


def run(arguments: argparse.Namespace) -> None:
    from dmtl.metrics.boundary_files import evaluate_folders

    scores = evaluate_folders(arguments.soft, arguments.labels, arguments.counts, arguments.workers, arguments.max_dist)
    print(f"ODS {scores['ods']:.3f} %   OIS {scores['ois']:.3f} %   AP {scores['ap']:.3f} %   ({scores['images']} images)")
