"""Result files -> the scores of each row of the tables, grouped over seeds."""

from dataclasses import dataclass, field
from statistics import mean, stdev

from dmtl.config import Cell, Grid, Paths
from dmtl.files import read_json
from dmtl.metrics.delta import delta_m
from dmtl.report.published import Row
from dmtl.tasks import TASKS

Scores = dict[str, float]  # task -> its headline metric


@dataclass(frozen=True)
class Trained:
    """What one row of the tables reached: the headline scores of each of its seeds."""

    final: list[Scores] = field(default_factory=list)
    initial: list[Scores] = field(default_factory=list)


def row_of(cell: Cell) -> Row:
    """The row that a cell belongs to, whatever its seed."""
    return Row(cell.benchmark, cell.setting, cell.method, cell.backbone)


def load_results(grid: Grid, paths: Paths) -> dict[Row, Trained]:
    """The results of the grid's cells that have been evaluated; cells with pinned steps belong to no row."""
    results: dict[Row, Trained] = {}
    for key, cell in grid.cells.items():
        if cell.steps is None and paths.result(key).exists():
            metrics = read_json(paths.result(key))["metrics"]
            trained = results.setdefault(row_of(cell), Trained())
            trained.final.append(_headline(metrics["final"]))
            if metrics["initial"]:
                trained.initial.append(_headline(metrics["initial"]))
    return results


def relative_gains(row: Row, results: dict[Row, Trained]) -> list[float]:
    """Delta_m in % of each seed against the mean of the single-task seeds of the same benchmark, setting and backbone.

    Empty where the row or its single-task reference was not run, and for the reference itself.
    """
    reference = results.get(row._replace(method="single_task"))
    if reference is None or row not in results or row.method == "single_task":
        return []
    single = {task: mean(scores[task] for scores in reference.final) for task in reference.final[0]}
    return [delta_m(scores, single) for scores in results[row].final]


def spread(values: list[float]) -> float | None:
    """Standard deviation over seeds; None for fewer than two."""
    return stdev(values) if len(values) > 1 else None


def _headline(scores: dict[str, dict[str, float]]) -> Scores:
    return {task: values[TASKS[task].metric] for task, values in scores.items()}
