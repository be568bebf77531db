"""One pass over a test shard: every metric of every task, for initial and final predictions."""

from typing import Any

import torch
from tqdm import tqdm

from dmtl.data.loading import EvaluationSet, evaluation_batches
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.metrics import metric_for
from dmtl.metrics.metric import Metric
from dmtl.models.method import Method

Scores = dict[str, dict[str, float]]  # task -> metric -> value


def evaluate(model: Method, shard: Shard, seed: int, batch: int = 8) -> dict[str, Scores | None]:
    """Evaluate a network on a test shard.

    Args:
        model: in evaluation mode; it is moved to the GPU if there is one.
        shard: the test shard; its tasks must be the model's.
        seed: of the inference noise, which is drawn for each image by its id.
        batch: images at a time; the result does not depend on it but for rounding.

    Returns:
        `{"final": {task: {metric: value}}, "initial": the same or None where a method predicts once}`.
    """
    if model.outputs != shard.outputs:
        raise UserError(f"{shard.path} holds {shard.outputs}, but the model predicts {model.outputs}: not the same benchmark")
    metrics: dict[str, dict[str, Metric]] = {}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    batches = evaluation_batches(EvaluationSet(shard, seed), model.tasks, batch)
    for cpu_batch in tqdm(batches, desc="evaluating", unit="batch", disable=None, leave=False):
        one = cpu_batch.to(device)
        for stage, maps in model.predict(one.images, keys=one.keys).items():
            if maps and stage not in metrics:
                metrics[stage] = {task: metric_for(task, channels) for task, channels in model.outputs.items()}
            for task, prediction in maps.items():
                metrics[stage][task].update(prediction, one.labels[task])
    return {stage: _computed(metrics.get(stage)) for stage in ("final", "initial")}


def _computed(metrics: dict[str, Metric] | None) -> Scores | None:
    return {task: metric.compute() for task, metric in metrics.items()} if metrics else None


def result_of(description: dict[str, Any], scores: dict[str, Scores | None]) -> dict[str, Any]:
    """The content of a result file: what was evaluated, and its scores."""
    return {name: description.get(name) for name in ("cell", "scale", "seed")} | {"metrics": scores}
