"""The commands that are no stage of the pipeline: `python -m dmtl COMMAND --help`."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dmtl.config import Project, for_report
from dmtl.errors import one_line_errors
from dmtl.stage import ROOT

if TYPE_CHECKING:
    from dmtl.metrics.per_image import PerImage


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
    evaluate.add_argument("--share", default="1/1", metavar="I/N", help="evaluate the I-th of N shares of the images")
    evaluate.add_argument("--per-image", type=Path, metavar="FILE", help="also write each image's statistics, for 'scores'")
    evaluate.add_argument("--save-predictions", type=Path, metavar="FOLDER", help="also write every prediction, as PNG or npy")
    evaluate.add_argument("--processes", type=int, help="that count boundaries (default: as many as pay; 0: none but this one)")
    evaluate.set_defaults(run=_evaluate)

    scores = commands.add_parser("scores", help="the metrics of a file of per-image statistics, or of all shares of one")
    scores.add_argument("files", type=Path, nargs="+", metavar="FILE", help="what 'evaluate' wrote: results/<scale>/<cell>.npz")
    scores.add_argument("--json", action="store_true", help="print the result file's content instead of a table")
    scores.add_argument("--per-image", type=Path, metavar="FILE", help="also write the shares put together")
    scores.set_defaults(run=_scores)

    compare = commands.add_parser("compare", help="can two cells be told apart? paired bootstrap over test images and seeds")
    compare.add_argument("a", metavar="CELL_A")
    compare.add_argument("b", metavar="CELL_B", help="both evaluated; all their evaluated seeds are taken")
    compare.add_argument("--draws", type=int, default=2000)
    compare.add_argument("--level", type=float, default=95, help="per cent that the intervals cover (default: 95)")
    compare.add_argument("--seed", type=int, default=0, help="of the draws")
    compare.add_argument("--project", default=".", metavar="FOLDER", help="whose params.yaml names the scale")
    compare.add_argument("--json", action="store_true")
    compare.set_defaults(run=_compare)

    cells = commands.add_parser("cells", help="the cells of a table as targets of DVC, for dvc repro $(...)")
    cells.add_argument("--table", type=int, choices=range(1, 6), help="of the paper (default: every cell of the grid)")
    cells.add_argument("--stage", choices=("train", "evaluate"), default="evaluate", help="default: evaluate, which trains first")
    cells.add_argument("--project", default=".", metavar="FOLDER", help="folder of params.yaml and grid.yaml")
    cells.set_defaults(run=_cells)

    launch = commands.add_parser("launch", help="train all stale cells of the grid on every GPU or CPU there is, over Ray")
    launch.add_argument("cells", nargs="*", metavar="CELL", help="only these (default: all that DVC finds stale)")
    launch.add_argument("--address", help="of a running Ray cluster, such as auto (default: this machine alone)")
    launch.add_argument("--gpus-per-cell", type=float, metavar="N", help="default: 1 where the cluster has GPUs, else 0")
    launch.add_argument("--project", default=".", metavar="FOLDER", help="folder of params.yaml and grid.yaml")
    launch.set_defaults(run=_launch)

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

    cost = commands.add_parser("cost", help="parameters and multiply-adds of every row at paper size, beside the printed ones")
    cost.add_argument("--project", default=".", metavar="FOLDER", help="whose params.yaml and grid.yaml are counted")
    form = cost.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the rows as a JSON list, unrounded")
    form.add_argument(
        "--throughput", type=float, metavar="PER_SECOND", help="multiply-adds a second of your GPU: print GPU-hours"
    )
    cost.set_defaults(run=_cost)

    mapping = commands.add_parser("mapping", help="print an image-task mapping file of XTC as text: id TAB bits")
    mapping.add_argument("file", type=Path, metavar="FILE", help="a published .npy or .pth, or a .tsv")
    mapping.add_argument("--counts", action="store_true", help="print how many labels each task has instead")
    mapping.set_defaults(run=_mapping)

    data = commands.add_parser("data", help="per benchmark: what is there, what is missing, what was verified, what it costs")
    data.add_argument("--get", metavar="NAME", help="first get a benchmark, nyud-primary, mappings or weights")
    data.add_argument("--verify", action="store_true", help="hash every listed file again")
    data.add_argument("--project", default=".", metavar="FOLDER", help="whose params.yaml says where things come from")
    data.set_defaults(run=_data)

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
    from dmtl.evaluation.evaluate import Share, evaluate
    from dmtl.models import load_model, read_description

    benchmark_module(arguments.benchmark)  # an unknown name is told before any work
    shard = Shard(Project(ROOT, arguments.project).paths.shard(arguments.benchmark, "val"))
    description, share = read_description(arguments.model), Share.parse(arguments.share)
    model, folder = load_model(arguments.model), arguments.save_predictions
    _print_scores(evaluate(model, shard, description, share, folder, arguments.processes), arguments)


def _scores(arguments: argparse.Namespace) -> None:
    from dmtl.metrics.per_image import load_per_image, merge

    _print_scores(merge([load_per_image(file) for file in arguments.files]), arguments)


def _print_scores(images: "PerImage", arguments: argparse.Namespace) -> None:
    if arguments.per_image:
        images.save(arguments.per_image)
    result = images.result()
    print(json.dumps(result, indent=1) if arguments.json else _table(result["metrics"]))


def _compare(arguments: argparse.Namespace) -> None:
    from dmtl.compare import as_json, as_text, compare, load_pair

    project = Project(ROOT, arguments.project)
    pair = load_pair(for_report(project), project.paths, arguments.a, arguments.b)
    found = compare(pair, arguments.draws, arguments.level, arguments.seed)
    if arguments.json:
        print(json.dumps(as_json(pair, found, arguments.draws, arguments.level), indent=1))
    else:
        print(as_text(pair, found, arguments.level))


def _cells(arguments: argparse.Namespace) -> None:
    from dmtl.report.entries import table_cells

    grid = for_report(Project(ROOT, arguments.project))
    file = "" if arguments.project == "." else f"{arguments.project}/dvc.yaml:"
    for key in table_cells(arguments.table, grid) if arguments.table else grid.cells:
        print(f"{file}{arguments.stage}@{key}")


def _launch(arguments: argparse.Namespace) -> None:
    from dmtl.launch import RayRunner, launch, report

    def run(cells: list[str]) -> Iterator[tuple[str, int, str]]:
        if cells:  # no cluster is started for nothing
            runner = RayRunner(ROOT, arguments.project, arguments.address, arguments.gpus_per_cell)
            yield from runner(cells)
            runner.close()

    report(launch(Project(ROOT, arguments.project), arguments.project, arguments.cells, run))


def _table(metrics: dict) -> str:
    lines = [f"{'task':<12} {'metric':<14} {'final':>10} {'initial':>10}"]
    for task, scores in metrics["final"].items():
        for name, value in scores.items():
            initial = f"{metrics['initial'][task][name]:.4f}" if metrics["initial"] else "-"
            lines.append(f"{task:<12} {name:<14} {value:>10.4f} {initial:>10}")
    return "\n".join(lines)


def _predict(arguments: argparse.Namespace) -> None:
    from dmtl.predict import predict_files

    if predict_files(arguments.images, arguments.model, arguments.out):
        raise SystemExit(2)


def _import_official(arguments: argparse.Namespace) -> None:
    from dmtl.official import import_official

    import_official(arguments.file, arguments.out)
    print(f"{arguments.out} holds the released model: dmtl.load_model('{arguments.out}')")


def _cost(arguments: argparse.Namespace) -> None:
    from dmtl.cost import Costs, as_records, as_text, hours_as_text

    costs = Costs(Project(ROOT, arguments.project, scale="paper"))
    if arguments.json:
        print(json.dumps(as_records(costs), indent=1))
    else:
        print(as_text(costs) if arguments.throughput is None else hours_as_text(costs, arguments.throughput))


def _mapping(arguments: argparse.Namespace) -> None:
    from dmtl.benchmarks.mappings import canonical_text, counts, read_mapping

    print((counts if arguments.counts else canonical_text)(read_mapping(arguments.file)), end="")


def _data(arguments: argparse.Namespace) -> None:
    from dmtl.benchmarks.inventory import inventory
    from dmtl.benchmarks.publications import get
    from dmtl.benchmarks.sources import downloads_path

    project = Project(ROOT, arguments.project)
    if arguments.get:
        get(downloads_path(project.paths.root), arguments.get)
    print(inventory(project, arguments.verify))


def _odsf(arguments: argparse.Namespace) -> None:
    from dmtl.metrics.boundary_files import evaluate_folders

    scores = evaluate_folders(arguments.soft, arguments.labels, arguments.counts, arguments.workers, arguments.max_dist)
    print(f"ODS {scores['ods']:.3f} %   OIS {scores['ois']:.3f} %   AP {scores['ap']:.3f} %   ({scores['images']} images)")


if __name__ == "__main__":
    main()
