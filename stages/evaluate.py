"""Evaluate one trained cell on the test shard: -> results/<scale>/<cell>.json."""

import _root  # noqa: F401

from dmtl.config import Project, for_evaluation
from dmtl.data.shards import Shard
from dmtl.evaluation import evaluate, result_of
from dmtl.files import write_json
from dmtl.models import load_model, read_description
from dmtl.stage import run_stage


def evaluate_cell(project: Project, cell: str) -> None:
    """Score a cell's model folder."""
    benchmark = for_evaluation(project, cell).benchmark
    folder = project.paths.model(cell)
    description = read_description(folder)
    scores = evaluate(load_model(folder), Shard(project.paths.shard(benchmark, "val")), description["seed"])
    write_json(project.paths.result(cell), result_of(description, scores))


if __name__ == "__main__":
    run_stage(__doc__, "cell", evaluate_cell)
