"""Turn the authors' released checkpoint into a model folder."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="their Feature Diffusion weights, a .pth file")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL_FOLDER")


def run(arguments: argparse.Namespace) -> None:
    from dmtl.inference.official import import_official

    import_official(arguments.file, arguments.out)
    print(f"{arguments.out} holds the released model: dmtl.load_model('{arguments.out}')")
