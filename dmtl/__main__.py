"""The commands that are no stage of the pipeline: `python -m dmtl COMMAND --help`."""

import argparse
import json
from pathlib import Path

from dmtl.config import Project
from dmtl.errors import one_line_errors
from dmtl.stage import ROOT


def main(argv: list[str] | None = None) -> None:
    """Read the command line and run one command."""
    arguments = _parser().parse_args(argv)
    with one_line_errors():
        arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dmtl", description="DiffusionMTL rebuilt: commands beside the pipeline.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    evaluate = commands.add_parser("evaluate", help="score any model folder on a benchmark's test shard")
    evaluate.add_argument("model", type=Path, metavar="MODEL_FOLDER")
    evaluate.add_argument("--benchmark", required=True, help="such as nyud")
    evaluate.add_argument("--project", default=".", metavar="FOLDER", help="whose params.yaml names the scale of the shards")
    evaluate.add_argument("--json", action="store_true", help="print the result file's content instead of a table")
    evaluate.set_defaults(run=_evaluate)

    predict = commands.add_parser("predict", help="all tasks of your own images, as colour pictures and arrays")
    predict.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or glob patterns")
    predict.add_argument("--model", type=Path, required=True, metavar="MODEL_FOLDER", help="such as models/<scale>/<cell>")
    predict.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="gets a folder an image (dmtl/predict.py lists what)"
    )
    predict.set_defaults(run=_predict)

    official = commands.add_parser("import-official", help="turn the authors' released checkpoint into a model folder")
    official.add_argument("file", type=Path, metavar="FILE", help="their Feature Diffusion weights for PASCAL, a .pth file")
    official.add_argument("--out", type=Path, required=True, metavar="MODEL_FOLDER")
    official.set_defaults(run=_import_official)

    mapping = commands.add_parser("mapping", help="print an image-task mapping file of XTC as text: id TAB bits")
    mapping.add_argument("file", type=Path, metavar="FILE", help="a published .npy or .pth, or a .tsv")
    mapping.set_defaults(run=_mapping)

    odsf = commands.add_parser("odsf", help="score boundary maps against label maps: ODS, OIS and AP, without MATLAB")
    odsf.add_argument("soft", type=Path, metavar="SOFT_DIR", help="8-bit PNGs, 255 = surely a boundary")
    odsf.add_argument("labels", type=Path, metavar="LABEL_DIR", help="label maps, PNGs of the same names")
    odsf.add_argument("--counts", type=Path, metavar="OUT_DIR", help="also write each image's counts at every threshold")
    odsf.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    odsf.add_argument("--max-dist", type=float, default=0.0075, help="tolerance as a share of the diagonal (default: 0.0075)")
    odsf.set_defaults(run=_odsf)
    return parser


def _evaluate(arguments: argparse.Namespace) -> None:
    from dmtl.benchmarks.raw import benchmark_module
    from dmtl.data.shards import Shard
    from dmtl.evaluation import evaluate, result_of
    from dmtl.models import load_model, read_description

    benchmark_module(arguments.benchmark)  # an unknown name is told before any work
    shard = Shard(Project(ROOT, arguments.project).paths.shard(arguments.benchmark, "val"))
    description = read_description(arguments.model)
    result = result_of(description, evaluate(load_model(arguments.model), shard, description.get("seed", 0)))
    print(json.dumps(result, indent=1) if arguments.json else _table(result["metrics"]))


def _table(metrics: dict) -> str:
    lines = [f"{'task':<12} {'metric':<12} {'final':>10} {'initial':>10}"]
    for task, scores in metrics["final"].items():
        for name, value in scores.items():
            initial = f"{metrics['initial'][task][name]:.4f}" if metrics["initial"] else "-"
            lines.append(f"{task:<12} {name:<12} {value:>10.4f} {initial:>10}")
    return "\n".join(lines)


def _predict(arguments: argparse.Namespace) -> None:
    from dmtl.predict import predict_files

    if predict_files(arguments.images, arguments.model, arguments.out):
        raise SystemExit(2)


def _import_official(arguments: argparse.Namespace) -> None:
    from dmtl.official import import_official

    import_official(arguments.file, arguments.out)
    print(f"{arguments.out} holds the released model: dmtl.load_model('{arguments.out}')")


def _mapping(arguments: argparse.Namespace) -> None:
    from dmtl.benchmarks.mappings import canonical_text, read_mapping

    print(canonical_text(read_mapping(arguments.file)), end="")


def _odsf(arguments: argparse.Namespace) -> None:
    from dmtl.metrics.boundary_files import evaluate_folders

    scores = evaluate_folders(arguments.soft, arguments.labels, arguments.counts, arguments.workers, arguments.max_dist)
    print(f"ODS {scores['ods']:.3f} %   OIS {scores['ois']:.3f} %   AP {scores['ap']:.3f} %   ({scores['images']} images)")


if __name__ == "__main__":
    main()
