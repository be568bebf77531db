"""How far every training is above the best constant prediction, which every method must beat."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dmtl.benchmarks import benchmark
from dmtl.config import Grid
from dmtl.report.published import Row
from dmtl.report.results import Results, Trained
from dmtl.report.table_cells import SETTING_TITLES
from dmtl.tasks import Task


@dataclass(frozen=True)
class Margin:
    """How far a row of the tables is above the constant on one task, signed so that more is better.

    `ours` is the mean over seeds, `worst` the worst of them.
    """

    setting: str
    method: str
    backbone: str
    task: Task
    ours: float
    worst: float
    constant: float

    @property
    def gain(self) -> float:
        return self._over(self.ours)

    @property
    def least(self) -> float:
        """Of the worst seed."""
        return self._over(self.worst)

    def _over(self, value: float) -> float:
        return (self.constant - value) if self.task.kind.lower_is_better else (value - self.constant)


def margins(grid: Grid, results: Results, by_steps: Mapping[Row, Mapping[int, Trained]]) -> list[Margin]:
    """Every row, and every row with pinned steps, against the constant of its benchmark."""
    constants = {row.benchmark: trained.mean() for row, trained in results.items() if row.method == "constant"}
    trainings = [(row, grid.title(row.method), trained) for row, trained in results.items() if row.method != "constant"]
    pinned = [(row, steps, trained) for row, several in by_steps.items() for steps, trained in sorted(several.items())]
    trainings += [(row, grid.title(row.method) + with_steps(steps), trained) for row, steps, trained in pinned]
    return [
        margin
        for row, title, trained in trainings
        if row.benchmark in constants
        for margin in _of_row(row, title, trained, constants[row.benchmark])
    ]


def _of_row(row: Row, title: str, trained: Trained, constant: Mapping[str, float]) -> Iterator[Margin]:
    for name, value in ((name, value) for name, value in trained.mean().items() if name in constant):
        task = benchmark(row.benchmark).task(name)
        worst = (max if task.kind.lower_is_better else min)(seed[name] for seed in trained.final)
        yield Margin(SETTING_TITLES[row.setting], title, row.backbone, task, value, worst, constant[name])


def with_steps(steps: int) -> str:
    """What follows a method's name where its steps are pinned."""
    return f" with {steps} step{'' if steps == 1 else 's'}"
