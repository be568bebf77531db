"""Delta_m: the mean relative gain over single-task networks, which the paper calls MTL Perf (docs/metrics.md)."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import numpy as np

from dmtl.metrics.metric import divided

Value = TypeVar("Value", float, np.ndarray)


def delta_m(scores: Mapping[str, Value], single_task: Mapping[str, Value], lower_is_better: Collection[str]) -> Value:
    """Mean over tasks of the relative difference to the single-task score, in %, positive when better.

    Args:
        scores: task -> its headline metric, a number or an array of them.
        single_task: the same of the single-task networks of the same benchmark, setting and backbone.
        lower_is_better: the tasks whose metric is an error.

    Returns:
        NaN, of a number or in an array, where a single-task score is 0: nothing is a share of it.
    """
    signs = {task: -1 if task in lower_is_better else 1 for task in single_task}
    gains = [
        signs[task] * divided(np.asarray(scores[task]) - reference, np.asarray(reference))
        for task, reference in single_task.items()
    ]
    mean: Any = 100 * sum(gains) / len(gains)
    result: Any = mean if np.ndim(mean) else float(mean)
    return result
