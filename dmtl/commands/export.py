"""A trained network as an ONNX file, or a program of torch.export, compared with the network before it is there."""

import argparse
from pathlib import Path

from dmtl.commands.shared.arguments import model_folder

FORMATS = ("onnx", "pt2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=model_folder, metavar="MODEL_FOLDER")
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="default: onnx, which needs the extra 'export'")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: the folder's name with the format's ending, here")


def run(arguments: argparse.Namespace) -> None:
    from dmtl.inference.export import export

    out = arguments.out or Path(f"{arguments.model.resolve().name}.{arguments.format}")
    done = export(arguments.model, out, arguments.format)
    sizes = ", ".join("x".join(map(str, size)) for size in done.sizes)
    free = f"any {', '.join(done.free)}" if done.free else "no other size"
    print(f"wrote {done.file} (noise zero; takes {free}): within {done.difference:.1g} of the network at {sizes}")
