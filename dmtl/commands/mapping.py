"""Print an image-task mapping file of XTC as text: id TAB bits."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a published .npy or .pth, or a .tsv")
    parser.add_argument("--counts", action="store_true", help="print how many labels each task has instead")


def run(arguments: argparse.Namespace) -> None:
    from dmtl.prepare.label_masks import canonical_text, counts
    from dmtl.prepare.mapping_files import read_mapping

    print((counts if arguments.counts else canonical_text)(read_mapping(arguments.file)), end="")
