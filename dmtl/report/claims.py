"""Do the paper's claims hold in our trainings? Each as paired differences between cells, with bootstrap intervals.

A difference is signed so that more is in the claim's favour. Its interval covers the choice of test images and, where several
seeds were trained, their spread (`dmtl.compare`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dmtl.compare import DELTA, Difference, Group, Pair, compare, load_group
from dmtl.config import Cell, Grid, Paths
from dmtl.report.entries import METHODS, SETTINGS
from dmtl.report.results import Results, main_backbone
from dmtl.tasks import TASKS

DRAWS, LEVEL, SEED = 2000, 95.0, 0
DESIGNS = ("diffusion_prediction", "diffusion_feature")
HOLDS, FAILS, OPEN, MIXED = "holds", "does not hold", "cannot be told at this size", "holds in part"
NOT_RUN = "not run"
MOST_TIMES = 25  # as much evidence: more nobody gathers for one claim


@dataclass(frozen=True)
class Finding:
    """One comparison under a claim; its fields are the columns of claims.csv.

    `difference`, `low` and `high` are None where it was not run.
    """

    claim: str
    setting: str
    a: str
    b: str
    task: str
    metric: str
    unit: str
    difference: float | None
    low: float | None
    high: float | None
    seeds_a: int
    seeds_b: int
    images: int

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.difference is None or self.low is None or self.high is None:
            return NOT_RUN
        return HOLDS if self.low > 0 else FAILS if self.high < 0 else OPEN

    @property
    def covers(self) -> str:
        """What the interval covers."""
        return "images and seeds" if min(self.seeds_a, self.seeds_b) > 1 else "images alone: one seed"

    @property
    def settles(self) -> str:
        """What would settle it, since the width falls with the root of the number of seeds and images."""
        if self.verdict != OPEN or self.difference is None or self.low is None or self.high is None:
            return ""
        half = (self.high - self.low) / 2
        times = math.ceil((half / self.difference) ** 2) if self.difference else MOST_TIMES + 1
        if times > MOST_TIMES:
            return f"more than {MOST_TIMES} times as many seeds and test images: as good as no difference"
        return f"about {max(times, 2)} times as many seeds and test images, if the difference stays"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and what we found of it."""

    key: str
    text: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """All findings together."""
        told = {finding.verdict for finding in self.findings} - {NOT_RUN}
        if not told:
            return NOT_RUN
        if len(told) == 1:
            return told.pop()
        return FAILS if HOLDS not in told else MIXED


@dataclass(frozen=True)
class Margin:
    """How far a row of the tables is above the constant on one task, signed so that more is better."""

    setting: str
    method: str
    backbone: str
    task: str
    ours: float
    constant: float

    @property
    def gain(self) -> float:
        return (self.constant - self.ours) if TASKS[self.task].lower_is_better else (self.ours - self.constant)


def claims(grid: Grid, paths: Paths) -> list[Claim]:
    """The six claims, from the statistics that are there.

    Args:
        grid: whose most frequent backbone is looked at.
        paths: where the results lie.
    """
    study = _Study(grid, paths)
    ours = DESIGNS[0]  # whose ablations the paper shows
    return [
        study.claim("a", "Diffusion beats the multi-task baseline in Δm", [(d, "mtl_baseline") for d in DESIGNS]),
        study.claim("b", "Diffusion beats cross-task consistency (XTC) in Δm", [(d, "xtc") for d in DESIGNS]),
        study.claim("c", "Diffusion beats the same network without diffusion in Δm", [(ours, "no_diffusion")]),
        study.claim("d", "Diffusion beats the same network without multi-task conditioning in Δm", [(ours, "no_conditioning")]),
        Claim("e", "Two diffusion steps beat one in Δm", tuple(study.steps(2, 1))),
        Claim("f", "The final predictions beat the initial ones on every task", tuple(study.refinement())),
    ]


class _Study:
    """The cells of one backbone as groups of seeds."""

    def __init__(self, grid: Grid, paths: Paths) -> None:
        self.grid, self.paths = grid, paths
        backbone = main_backbone(grid)
        self.cells = [cell for cell in grid.cells.values() if cell.backbone == backbone and not cell.scratch]
        self.settings = [setting for setting in SETTINGS if any(cell.setting == setting for cell in self.cells)]

    def claim(self, key: str, text: str, methods: Sequence[tuple[str, str]]) -> Claim:
        """Delta_m of pairs of methods in every setting that has both in the grid."""
        pairs = [(self._cell(setting, a), self._cell(setting, b)) for setting in self.settings for a, b in methods]
        return Claim(key, text, tuple(self._delta(key, a, b) for a, b in pairs if a and b))

    def steps(self, more: int, fewer: int) -> Iterator[Finding]:
        """Delta_m with `more` against `fewer` diffusion steps; the unpinned cell has as many as params.yaml says: 2."""
        for setting in self.settings:
            for method in DESIGNS:
                b = self._cell(setting, method, fewer)
                a = self._cell(setting, method, more) or self._cell(setting, method)
                if a and b:
                    yield self._delta("e", a, b)

    def refinement(self) -> Iterator[Finding]:
        """Final against initial predictions of each task."""
        for setting in self.settings:
            for method in DESIGNS:
                cell = self._cell(setting, method)
                if cell is None:
                    continue
                group = load_group(self.grid, self.paths, cell)
                if group is None:
                    yield _not_run("f", cell.setting, f"{cell.name()} final", "initial")
                    continue
                initial = tuple(replace(cell, tables={"final": cell.tables["initial"]}) for cell in group.cells)
                first = replace(group, name=f"{group.name} initial", cells=initial, paired=group.name)
                found = compare(Pair(group, first, None, None), DRAWS, LEVEL, SEED)
                for task in group.cells[0].outputs:
                    column = task, TASKS[task].metric
                    yield _finding("f", setting, group, first, column, found[column], titles=(f"{group.name} final", "initial"))

    def _cell(self, setting: str, method: str, steps: int | None = None) -> Cell | None:
        wanted = (setting, method, steps, 0)
        return next((c for c in self.cells if (c.setting, c.method, c.steps, c.seed) == wanted), None)

    def _delta(self, key: str, a: Cell, b: Cell) -> Finding:
        single = self._cell(a.setting, "single_task")
        groups = [load_group(self.grid, self.paths, cell) if cell else None for cell in (a, b, single)]
        if groups[0] is None or groups[1] is None or groups[2] is None:
            return _not_run(key, a.setting, a.name(), b.name())
        found = compare(Pair(groups[0], groups[1], groups[2], groups[2]), DRAWS, LEVEL, SEED)
        return _finding(key, a.setting, groups[0], groups[1], DELTA, found[DELTA])


def _not_run(key: str, setting: str, a: str, b: str) -> Finding:
    return Finding(key, setting, a, b, "", "delta_m", "%", None, None, None, 0, 0, 0)


def _finding(
    key: str,
    setting: str,
    a: Group,
    b: Group,
    column: tuple[str, str],
    found: Difference,
    titles: tuple[str, str] | None = None,
) -> Finding:
    task, metric = column
    sign = -1 if task and TASKS[task].lower_is_better else 1
    low, high = sorted((sign * found.low, sign * found.high))
    unit = TASKS[task].unit if task else "%"
    names = titles or (a.name, b.name)
    counts = len(a.seeds), len(b.seeds), len(a.cells[0].ids)
    return Finding(key, setting, *names, task, metric, unit, sign * found.difference, low, high, *counts)


def margins(results: Results) -> list[Margin]:
    """Every row against the constant of its benchmark, by means over seeds."""
    constants = {row.benchmark: trained.mean() for row, trained in results.items() if row.method == "constant"}
    return [
        Margin(SETTINGS[row.setting], METHODS[row.method], row.backbone, task, value, constants[row.benchmark][task])
        for row, trained in results.items()
        if row.method != "constant" and row.benchmark in constants
        for task, value in trained.mean().items()
    ]
