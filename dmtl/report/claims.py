"""Do the paper's claims hold in our trainings? Each as paired differences between cells, with bootstrap intervals.

A difference is signed so that more is in the claim's favour. Its interval covers the choice of test images and, where
several seeds were trained, their spread (`dmtl.compare`). Of a single seed the spread is not known: the interval of Delta_m is
then widened by the spread that methods with several seeds have, pooled. A claim about every task holds in a comparison where it
holds on each of them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, mean, variance

from dmtl.compare import DELTA, Difference, Pair, compare, load_group, require_same_images
from dmtl.config import Cell, Grid, Paths
from dmtl.report.entries import METHODS, SETTINGS
from dmtl.report.published import Row
from dmtl.report.results import Results, Trained, load_results, main_backbone, relative_gains
from dmtl.tasks import TASKS

DRAWS, LEVEL, SEED = 2000, 95.0, 0
DESIGNS = ("diffusion_prediction", "diffusion_feature")
HOLDS, FAILS, OPEN, MIXED = "holds", "does not hold", "cannot be told at this size", "holds in part"
NOT_RUN = "not run"
MOST_TIMES = 25  # as much evidence: more nobody gathers for one claim


@dataclass(frozen=True)
class Finding:
    """One comparison under a claim; its fields are the columns of claims.csv.

    `low` to `high` is the interval, `images_low` to `images_high` that of the choice of images alone, with the seeds as they
    are. All of them and `difference` are None where it was not run. `pooled_sd` is the deviation over seeds that the interval was
    widened by for each side with a single seed.
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
    images_low: float | None
    images_high: float | None
    seeds_a: int
    seeds_b: int
    images: int
    pooled_sd: float | None = None

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.difference is None or self.low is None or self.high is None:
            return NOT_RUN
        return HOLDS if self.low > 0 else FAILS if self.high < 0 else OPEN

    @property
    def comparison(self) -> tuple[str, str, str]:
        """What it is a part of where a claim is about every task."""
        return self.setting, self.a, self.b

    @property
    def seeds(self) -> int:
        """Of the side that has fewer."""
        return min(self.seeds_a, self.seeds_b)

    @property
    def covers(self) -> str:
        """What the interval covers."""
        if self.seeds > 1:
            return "images and seeds"
        if self.pooled_sd is not None:
            return f"images and seeds, a single seed's by the others' deviation of {self.pooled_sd:.2f}"
        return "images alone: one seed" if max(self.seeds_a, self.seeds_b) == 1 else "images, and seeds of one side alone"

    @property
    def settles(self) -> str:
        """What would settle an open one if its difference stays.

        The squared half-width of an interval is the sum of what images and what seeds add; more seeds make the latter fall as one
        over their number. A bootstrap over n seeds shows (n - 1) / n of it (Efron and Tibshirani, 5.3).
        """
        if self.verdict != OPEN or self.difference is None or self.images_low is None or self.images_high is None:
            return ""
        images, wanted = ((self.images_high - self.images_low) / 2) ** 2, self.difference**2
        if images >= wanted:
            return _more_images(images, wanted, self.images)
        if self.seeds < 2:
            return "more than one seed of both sides: with one, the spread is not known"
        assert self.high is not None
        assert self.low is not None
        shown = max(((self.high - self.low) / 2) ** 2 - images, 0.0)
        needed = max(math.ceil(shown * self.seeds**2 / (self.seeds - 1) / (wanted - images)), self.seeds + 1)
        if needed > MOST_TIMES * self.seeds:
            return f"more than {MOST_TIMES * self.seeds} seeds of both sides: as good as no difference"
        return f"about {needed} seeds of both sides, if difference and spread stay"


def _more_images(images: float, wanted: float, count: int) -> str:
    """No number of seeds settles what the images leave open; their part falls as one over their number."""
    times = images / wanted if wanted else math.inf
    if times > MOST_TIMES:
        return f"not more seeds, but more than {MOST_TIMES} times the {count} test images: as good as no difference"
    return f"not more seeds alone: more than {math.ceil(times * count)} test images, where there are {count}"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and what we found of it."""

    key: str
    text: str
    findings: tuple[Finding, ...]

    @property
    def comparisons(self) -> dict[tuple[str, str, str], str]:
        """The verdict of each comparison: it fails where one of its tasks does, and holds where all do."""
        verdicts: dict[tuple[str, str, str], set[str]] = {}
        for finding in self.findings:
            verdicts.setdefault(finding.comparison, set()).add(finding.verdict)
        return {key: next(v for v in (NOT_RUN, FAILS, OPEN, HOLDS) if v in told) for key, told in verdicts.items()}

    @property
    def verdict(self) -> str:
        """All comparisons together."""
        told = set(self.comparisons.values()) - {NOT_RUN}
        if not told:
            return NOT_RUN
        if len(told) == 1:
            return told.pop()
        return FAILS if HOLDS not in told else MIXED

    @property
    def basis(self) -> str:
        """How many comparisons the verdict rests on, and on how many seeds."""
        verdicts = self.comparisons
        run = {finding.comparison: finding.seeds for finding in self.findings if finding.verdict != NOT_RUN}
        if not run:
            return "none of its comparisons was run"
        single = sum(seeds < 2 for seeds in run.values())
        counts = ", ".join(f"{list(verdicts.values()).count(v)} {v}" for v in (HOLDS, FAILS, OPEN) if v in verdicts.values())
        said = f"{len(run)} of {len(verdicts)} comparisons run: {counts}"
        return f"{said}; {single} with a single seed on a side" if single else said


@dataclass(frozen=True)
class Margin:
    """How far a row of the tables is above the constant on one task, signed so that more is better.

    `ours` is the mean over seeds, `worst` the worst of them.
    """

    setting: str
    method: str
    backbone: str
    task: str
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
        return (self.constant - value) if TASKS[self.task].lower_is_better else (value - self.constant)


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
        self.grid, self.paths, self.results = grid, paths, load_results(grid, paths)
        backbone = main_backbone(grid)
        self.cells = [cell for cell in grid.cells.values() if cell.backbone == backbone and not cell.scratch]
        self.settings = [setting for setting in SETTINGS if any(cell.setting == setting for cell in self.cells)]

    def claim(self, key: str, text: str, methods: Sequence[tuple[str, str]]) -> Claim:
        """Delta_m of pairs of methods in every setting that has both in the grid, and single-task networks to take it against."""
        pairs = [(self._cell(setting, a), self._cell(setting, b)) for setting in self.settings for a, b in methods]
        return Claim(key, text, tuple(self._delta(key, a, b) for a, b in pairs if a and b and self._single(a)))

    def steps(self, more: int, fewer: int) -> Iterator[Finding]:
        """Delta_m with `more` against `fewer` diffusion steps; the unpinned cell has as many as params.yaml says: 2."""
        for setting in self.settings:
            for method in DESIGNS:
                b = self._cell(setting, method, fewer)
                a = self._cell(setting, method, more) or self._cell(setting, method)
                if a and b and self._single(a):
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
                columns = [(task, TASKS[task].metric) for task in group.cells[0].outputs]
                names = f"{group.name} final", "initial"
                yield from self._compared("f", setting, Pair(group, first, None, None), columns, names)

    def _cell(self, setting: str, method: str, steps: int | None = None) -> Cell | None:
        wanted = (setting, method, steps, 0)
        return next((c for c in self.cells if (c.setting, c.method, c.steps, c.seed) == wanted), None)

    def _single(self, cell: Cell) -> Cell | None:
        return self._cell(cell.setting, "single_task")

    def _delta(self, key: str, a: Cell, b: Cell) -> Finding:
        single = self._single(a)
        groups = [load_group(self.grid, self.paths, cell) if cell else None for cell in (a, b, single)]
        if groups[0] is None or groups[1] is None or groups[2] is None:
            return _not_run(key, a.setting, a.name(), b.name())
        pair = Pair(groups[0], groups[1], groups[2], groups[2])
        found = next(self._compared(key, a.setting, pair, [DELTA], (pair.a.name, pair.b.name)))
        return widened(found, self._pooled_sd())

    def _pooled_sd(self) -> float | None:
        """Deviation of Delta_m over seeds, pooled over the rows with several; None where there is none."""
        backbone = main_backbone(self.grid)
        gains = [relative_gains(row, t.final, self.results) for row, t in self.results.items() if row.backbone == backbone]
        spreads = [variance(values) for values in gains if len(values) > 1]
        return math.sqrt(mean(spreads)) if spreads else None

    def _compared(
        self, key: str, setting: str, pair: Pair, columns: Sequence[tuple[str, str]], names: tuple[str, str]
    ) -> Iterator[Finding]:
        require_same_images(pair, self.paths)
        found = compare(pair, DRAWS, LEVEL, SEED)
        several = any(len(group.seeds) > 1 for group in pair.groups().values())
        fixed = compare(pair, DRAWS, LEVEL, SEED, nested=False) if several else found
        for column in columns:
            yield _finding(key, setting, pair, column, found[column], fixed[column], names)


def widened(finding: Finding, deviation: float | None) -> Finding:
    """The finding with what the unknown spread of each single seed adds to the squared distance of either end."""
    lone = (finding.seeds_a == 1) + (finding.seeds_b == 1)
    if deviation is None or not lone or finding.difference is None or finding.low is None or finding.high is None:
        return finding
    added = lone * (NormalDist().inv_cdf(0.5 + LEVEL / 200) * deviation) ** 2
    low = finding.difference - math.hypot(finding.difference - finding.low, math.sqrt(added))
    high = finding.difference + math.hypot(finding.high - finding.difference, math.sqrt(added))
    return replace(finding, low=low, high=high, pooled_sd=deviation)


def _not_run(key: str, setting: str, a: str, b: str) -> Finding:
    return Finding(key, setting, a, b, "", "delta_m", "%", None, None, None, None, None, 0, 0, 0)


def _finding(
    key: str,
    setting: str,
    pair: Pair,
    column: tuple[str, str],
    found: Difference,
    fixed: Difference,
    names: tuple[str, str],
) -> Finding:
    task, metric = column
    sign = -1 if task and TASKS[task].lower_is_better else 1
    low, high = sorted((sign * found.low + 0.0, sign * found.high + 0.0))  # no negative zeros
    images_low, images_high = sorted((sign * fixed.low + 0.0, sign * fixed.high + 0.0))
    unit = TASKS[task].unit if task else "%"
    numbers = sign * found.difference + 0.0, low, high, images_low, images_high
    return Finding(
        key, setting, *names, task, metric, unit, *numbers, len(pair.a.seeds), len(pair.b.seeds), len(pair.a.cells[0].ids)
    )


def margins(results: Results, by_steps: Mapping[Row, Mapping[int, Trained]]) -> list[Margin]:
    """Every row, and every row with pinned steps, against the constant of its benchmark."""
    constants = {row.benchmark: trained.mean() for row, trained in results.items() if row.method == "constant"}
    every = [(row, METHODS[row.method], trained) for row, trained in results.items() if row.method != "constant"]
    pinned = [(row, steps, trained) for row, found in by_steps.items() for steps, trained in sorted(found.items())]
    every += [(row, METHODS[row.method] + with_steps(steps), trained) for row, steps, trained in pinned]
    return [
        Margin(SETTINGS[row.setting], title, row.backbone, task, value, _worst(trained, task), constants[row.benchmark][task])
        for row, title, trained in every
        if row.benchmark in constants
        for task, value in trained.mean().items()
    ]


def _worst(trained: Trained, task: str) -> float:
    return (max if TASKS[task].lower_is_better else min)(seed[task] for seed in trained.final)


def with_steps(steps: int) -> str:
    """What follows a method's name where its steps are pinned."""
    return f" with {steps} step{'' if steps == 1 else 's'}"
