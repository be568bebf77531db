"""Result files -> the scores of each row of the tables, grouped over seeds."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from dmtl.config import Cell, Grid, Paths
from dmtl.config.records import read_result
from dmtl.errors import UserError
from dmtl.files import read_json
from dmtl.metrics.delta import delta_m
from dmtl.report.columns import headline_columns, lower_is_better
from dmtl.report.published import Row

Scores = dict[str, float]  # task -> its headline metric


@dataclass(frozen=True)
class Trained:
    """What one row of the tables reached: the headline scores of each of its seeds."""

    final: list[Scores] = field(default_factory=list)
    initial: list[Scores] = field(default_factory=list)
    ceiling: list[Scores] = field(default_factory=list)  # what a method's latents leave of the labels themselves

    def mean(self) -> Scores:
        """The mean final scores over seeds, of the tasks that have a score."""
        return {task: mean(seed[task] for seed in self.final) for task in self.tasks()}

    def tasks(self) -> list[str]:
        """Those that have a score in every seed and stage."""
        every = [*self.final, *self.initial, *self.ceiling]
        return [task for task in self.final[0] if all(task in seed for seed in every)]

    def add(self, benchmark: str, metrics: dict) -> None:
        """Take up the `metrics` of one more seed's result file."""
        self.final.append(headline(benchmark, metrics["final"]))
        if metrics["initial"]:
            self.initial.append(headline(benchmark, metrics["initial"]))
        if metrics.get("ceiling"):
            self.ceiling.append(headline(benchmark, metrics["ceiling"]))


Results = dict[Row, Trained]


@dataclass(frozen=True)
class Run:
    """One evaluated training: its cell, what it was made of, and its losses by epoch."""

    key: str
    cell: Cell
    seed: int
    fingerprint: str  # SHA-256 over configuration, training shard and code
    history: list[dict]
    training: dict[str, Any] = field(default_factory=dict)  # the whole configuration; empty in results of earlier versions
    step_gradients: dict = field(default_factory=dict)  # what stage `gradients` measured, where it did


def row_of(cell: Cell) -> Row:
    """The row that a cell belongs to, whatever its seed."""
    backbone = f"{cell.backbone}, scratch" if cell.scratch else cell.backbone
    return Row(cell.benchmark, cell.setting, cell.method, backbone)


def row_with_steps(cell: Cell) -> Row:
    """The row of its own that a cell has where the number of steps that it pins counts."""
    return row_of(cell)._replace(steps=cell.steps)


def main_backbone(grid: Grid) -> str:
    """The backbone that most of a grid's cells have: the one whose curves, pictures and summary are shown."""
    return Counter(cell.backbone for cell in grid.cells.values()).most_common(1)[0][0]


def shown_setting(grid: Grid, benchmark: str) -> str:
    """The setting whose pictures and initial predictions are shown: labels as given where there is that, else one an image."""
    given = any((cell.benchmark, cell.setting) == (benchmark, "given") for cell in grid.cells.values())
    return "given" if given else "onelabel"


def scored_on(grid: Grid, paths: Paths, benchmark: str) -> str:
    """On how many test images each task of a benchmark is scored, for people; nothing where no cell was evaluated."""
    for key, cell in grid.cells.items():
        if cell.benchmark == benchmark and paths.result(key).exists():
            result = read_result(paths.result(key), key)
            labels = ", ".join(f"{task} {count}" for task, count in result.get("labels", {}).items())
            return f"Of {result['images']} test images have a label: {labels}." if labels else ""
    return ""


def load_results(grid: Grid, paths: Paths) -> Results:
    """The results of the grid's cells that have been evaluated; cells with pinned steps belong to no row."""
    results: Results = {}
    for cell, metrics in _evaluated(grid, paths):
        if cell.steps is None:
            results.setdefault(row_of(cell), Trained()).add(cell.benchmark, metrics)
    return results


def load_steps(grid: Grid, paths: Paths) -> dict[Row, dict[int, Trained]]:
    """The results of the cells that pin their diffusion steps: row -> steps -> scores (the paper's Fig. 6)."""
    results: dict[Row, dict[int, Trained]] = {}
    for cell, metrics in _evaluated(grid, paths):
        if cell.steps is not None:
            results.setdefault(row_of(cell), {}).setdefault(cell.steps, Trained()).add(cell.benchmark, metrics)
    return results


def load_all(grid: Grid, paths: Paths) -> Results:
    """The results of all evaluated cells, those with pinned steps as rows of their own."""
    results = load_results(grid, paths)
    return results | {
        row._replace(steps=n): one for row, several in load_steps(grid, paths).items() for n, one in several.items()
    }


def load_runs(grid: Grid, paths: Paths) -> list[Run]:
    """Every cell that has been evaluated."""
    runs = []
    for key, cell in grid.cells.items():
        if paths.result(key).exists():
            content = read_result(paths.result(key), key)
            measured = read_json(paths.step_gradients(key)) if paths.step_gradients(key).exists() else {}
            told = content["seed"], content.get("fingerprint") or "", content.get("history") or []
            runs.append(Run(key, cell, *told, content.get("training") or {}, measured))
    return runs


def relative_gains(row: Row, scores: list[Scores], results: Results) -> list[float]:
    """Delta_m in % of each seed's scores against the mean of the single-task seeds of the row's benchmark, setting and backbone.

    Empty where that reference was not run or scores 0 on some task, where a task has no score, and for the reference itself.
    """
    return [] if row.method == "single_task" else gains_over("single_task", row, scores, results)


def gains_over(method: str, row: Row, scores: list[Scores], results: Results) -> list[float]:
    """The same as Delta_m against the mean of another method's seeds; of that method itself they are 0 on average."""
    reference = results.get(row._replace(method=method, steps=None))
    if reference is None:
        return []
    mean_scores, errors = reference.mean(), lower_is_better(row.benchmark)
    whole = all(scored.keys() == headline_columns(row.benchmark).keys() for scored in (mean_scores, *scores))
    return [delta_m(seed, mean_scores, errors) for seed in scores] if whole and all(mean_scores.values()) else []


def spread(values: list[float]) -> float | None:
    """Standard deviation over seeds; None for fewer than two."""
    return stdev(values) if len(values) > 1 else None


def _evaluated(grid: Grid, paths: Paths) -> Iterator[tuple[Cell, dict]]:
    for key, cell in grid.cells.items():
        if paths.result(key).exists():
            yield cell, read_result(paths.result(key), key)["metrics"]


def headline(benchmark: str, scores: dict[str, dict[str, float]]) -> Scores:
    """Each task's headline metric of one stage of a result file; a task without any valid test label has none.

    Result files of earlier versions say NaN in place of None.
    """
    columns = headline_columns(benchmark)
    for task, named in scores.items():
        if task not in columns or columns[task].metric not in named:
            raise UserError(f"a result of {benchmark} scores '{task}' by {', '.join(named) or 'nothing'}: evaluate it again")
    if lacking := sorted(columns.keys() - scores.keys()):
        raise UserError(f"a result of {benchmark} has no score of '{lacking[0]}': evaluate it again")
    values = {task: named[columns[task].metric] for task, named in scores.items()}
    return {task: value for task, value in values.items() if value is not None and not math.isnan(value)}
