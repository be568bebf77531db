"""Score any model folder on a benchmark's test shard."""

import argparse
import sys
from pathlib import Path

from dmtl.benchmarks import benchmark, benchmark_names
from dmtl.commands.shared import scores
from dmtl.commands.shared.arguments import model_folder, whole
from dmtl.commands.shared.precision import add_precision
from dmtl.errors import UserError
from dmtl.stage import add_project, project_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=model_folder, metavar="MODEL_FOLDER")
    parser.add_argument(
        "--benchmark",
        metavar="NAME",
        help=f"one of {', '.join(benchmark_names())} (default: the one that the model was trained on)",
    )
    add_project(parser)
    add_precision(parser)
    scores.add_arguments(parser)
    parser.add_argument("--share", default="1/1", metavar="I/N", help="evaluate the I-th of N shares of the images")
    parser.add_argument("--save-predictions", type=Path, metavar="FOLDER", help="also write every prediction, as PNG or npy")
    parser.add_argument(
        "--processes", type=whole(0, 1024), help="that count boundaries (default: as many as pay; 0: none but this one)"
    )


def run(arguments: argparse.Namespace) -> None:
    project, folder, precision = project_of(arguments), arguments.model, arguments.precision
    if arguments.benchmark:
        benchmark(arguments.benchmark)  # an unknown name ends before any work
    from dmtl.data.shards import Shard
    from dmtl.evaluation.evaluate import Share, evaluate
    from dmtl.inference.folding import load_for_inference
    from dmtl.models import read_description

    description, share = read_description(folder), Share.parse(arguments.share)
    name = arguments.benchmark or description.get("benchmark")
    if name is None:
        raise UserError(f"{folder / 'model.json'} does not say its benchmark: name it with --benchmark")
    benchmark(name)
    shard = Shard(project.paths.shard(name, "val"))
    images = evaluate(
        load_for_inference(folder, precision), shard, description, share, arguments.save_predictions, arguments.processes
    )
    if arguments.save_predictions:
        print(f"wrote the predictions to {arguments.save_predictions}", file=sys.stderr)
    scores.print_scores(images, arguments)
