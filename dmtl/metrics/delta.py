"""Delta_m: the mean relative gain over single-task networks (the paper's MTL Perf, datasets-and-metrics 2.7)."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from dmtl.tasks import TASKS

Value = TypeVar("Value", float, np.ndarray)


def delta_m(scores: Mapping[str, Value], single_task: Mapping[str, Value]) -> Value:
    """Mean over tasks of the relative difference to the single-task score, in %, positive when better.

    Args:
        scores: task -> its headline metric, a number or an array of them.
        single_task: the same of the single-task networks of the same benchmark, setting and backbone.
    """
    gains = [_sign(task) * (scores[task] - reference) / reference for task, reference in single_task.items()]
    return 100 * sum(gains) / len(gains)


def _sign(task: str) -> int:
    return -1 if TASKS[task].lower_is_better else 1
