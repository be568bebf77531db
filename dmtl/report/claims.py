"""Do the paper's claims hold in our trainings? Each as paired differences between cells, with bootstrap intervals.

An interval covers the choice of test images and, where several seeds were trained, their spread (`dmtl.report.compare`). Of a
single seed the spread is not known: the interval of Delta_m is then widened by the spread that methods with several seeds have,
pooled.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import mean, variance

from dmtl.config import Cell, Grid, Paths
from dmtl.report.columns import DELTA_M, Column, headline_columns
from dmtl.report.compare import Difference, Pair, compare, load_group, require_same_images
from dmtl.report.findings import Claim, Finding
from dmtl.report.power import critical, holm, p_value, power
from dmtl.report.published import papers_gain
from dmtl.report.results import load_results, main_backbone, relative_gains, row_with_steps
from dmtl.report.table_cells import SETTING_TITLES

DRAWS, LEVEL, SEED = 2000, 95.0, 0
BASELINE = "mtl_baseline"
DESIGNS = ("diffusion_prediction", "diffusion_feature")


def claims(grid: Grid, paths: Paths) -> list[Claim]:
    """The six claims, from the statistics that are there.

    Args:
        grid: whose most frequent backbone is looked at.
        paths: where the results lie.
    """
    study = _Study(grid, paths)
    ours = DESIGNS[0]  # whose ablations the paper shows
    found = [
        study.claim("a", "Diffusion beats the multi-task baseline in Δm", [(d, BASELINE) for d in DESIGNS]),
        study.claim("b", "Diffusion beats cross-task consistency (XTC) in Δm", [(d, "xtc") for d in DESIGNS]),
        study.claim("c", "Diffusion beats the same network without diffusion in Δm", [(ours, "no_diffusion")]),
        study.claim("d", "Diffusion beats the same network without multi-task conditioning in Δm", [(ours, "no_conditioning")]),
        Claim("e", "Two diffusion steps beat one in Δm", tuple(study.steps(2, 1))),
        Claim("f", "The final predictions beat the initial ones on every task", tuple(study.refinement())),
    ]
    return _corrected(found)


def against_baseline(grid: Grid, paths: Paths) -> list[Finding]:
    """Delta_m of every method that was evaluated against the multi-task baseline of the same labels."""
    study = _Study(grid, paths)
    compared = {cell.method for cell in study.cells} - {"constant", "single_task", BASELINE}
    claim = study.claim("", "", [(method, BASELINE) for method in grid.method_order(compared) if method in compared])
    return [finding for finding in claim.findings if finding.difference is not None]


def _corrected(found: Sequence[Claim]) -> list[Claim]:
    """The claims with the p-values of all their findings corrected for how many those are."""
    findings = [finding for claim in found for finding in claim.findings]
    tested = [finding for finding in findings if finding.p is not None]
    corrected = dict(zip(map(id, tested), holm([finding.p for finding in tested if finding.p is not None]), strict=True))
    return [replace(c, findings=tuple(replace(f, p_holm=corrected.get(id(f))) for f in c.findings)) for c in found]


class _Study:
    """The cells of one backbone as groups of seeds."""

    def __init__(self, grid: Grid, paths: Paths) -> None:
        self.grid, self.paths, self.results = grid, paths, load_results(grid, paths)
        backbone = main_backbone(grid)
        self.cells = [cell for cell in grid.cells.values() if cell.backbone == backbone and not cell.scratch]
        self.settings = [setting for setting in SETTING_TITLES if any(cell.setting == setting for cell in self.cells)]

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
                if cell is not None:
                    yield from self._refined(cell)

    def _refined(self, cell: Cell) -> Iterator[Finding]:
        group, names = load_group(self.grid, self.paths, cell), (f"{cell.name()} final", "initial")
        if group is None:
            yield _not_run("f", cell.setting, *names)
            return
        initial = tuple(replace(seed, tables={"final": seed.tables["initial"]}) for seed in group.cells)
        first = replace(group, name=f"{group.name} initial", cells=initial, paired=group.name)
        known = headline_columns(cell.benchmark)
        columns = [known[task] for task in group.cells[0].outputs]
        yield from self._compared("f", cell.setting, Pair(group, first, None, None), columns, names)

    def _cell(self, setting: str, method: str, steps: int | None = None) -> Cell | None:
        wanted = (setting, method, steps, 0)
        return next((c for c in self.cells if (c.setting, c.method, c.steps, c.seed) == wanted), None)

    def _single(self, cell: Cell) -> Cell | None:
        return self._cell(cell.setting, "single_task")

    def _delta(self, key: str, a: Cell, b: Cell) -> Finding:
        single = self._single(a)
        groups = [load_group(self.grid, self.paths, cell) if cell else None for cell in (a, b, single)]
        printed, on = papers_gain(row_with_steps(a), row_with_steps(b)) or (None, "")
        not_run = replace(_not_run(key, a.setting, a.name(), b.name()), paper=printed, paper_on=on)
        if groups[0] is None or groups[1] is None or groups[2] is None:
            return not_run
        pair = Pair(groups[0], groups[1], groups[2], groups[2])
        finding = next(self._compared(key, a.setting, pair, [DELTA_M], (pair.a.name, pair.b.name)), None)
        if finding is None:
            return not_run
        return tested(replace(widened(finding, self._pooled_sd()), paper=printed, paper_on=on))

    def _pooled_sd(self) -> float | None:
        """Deviation of Delta_m over seeds, pooled over the rows with several; None where there is none."""
        backbone = main_backbone(self.grid)
        gains = [relative_gains(row, t.final, self.results) for row, t in self.results.items() if row.backbone == backbone]
        spreads = [variance(values) for values in gains if len(values) > 1]
        return math.sqrt(mean(spreads)) if spreads else None

    def _compared(
        self, key: str, setting: str, pair: Pair, columns: Sequence[Column], names: tuple[str, str]
    ) -> Iterator[Finding]:
        require_same_images(pair, self.paths)
        nested = compare(pair, DRAWS, LEVEL, SEED)
        several = any(len(group.seeds) > 1 for group in pair.groups().values())
        fixed = compare(pair, DRAWS, LEVEL, SEED, nested=False) if several else nested
        for column in columns:
            if column.key in nested and column.key in fixed:
                yield tested(_finding(key, setting, pair, column, nested[column.key], fixed[column.key], names))


def widened(finding: Finding, deviation: float | None) -> Finding:
    """The finding with what the unknown spread of each single seed adds to the squared distance of either end."""
    lone = (finding.seeds_a == 1) + (finding.seeds_b == 1)
    if deviation is None or not lone or finding.difference is None or finding.low is None or finding.high is None:
        return finding
    added = lone * (critical(LEVEL) * deviation) ** 2
    low = finding.difference - math.hypot(finding.difference - finding.low, math.sqrt(added))
    high = finding.difference + math.hypot(finding.high - finding.difference, math.sqrt(added))
    return replace(finding, low=low, high=high, pooled_sd=deviation)


def tested(finding: Finding) -> Finding:
    """The finding with its p-value and, where the paper prints the difference, the power to show that."""
    if finding.difference is None or finding.low is None or finding.high is None:
        return finding
    p = p_value(finding.difference, finding.low, finding.high, LEVEL)
    return replace(finding, p=p, power=None if finding.paper is None else power(finding.paper, finding.low, finding.high, LEVEL))


def _not_run(key: str, setting: str, a: str, b: str) -> Finding:
    return Finding(key, setting, a, b, *DELTA_M.key, DELTA_M.unit, None, None, None, None, None, 0, 0, 0)


def _finding(
    key: str, setting: str, pair: Pair, column: Column, nested: Difference, fixed: Difference, names: tuple[str, str]
) -> Finding:
    sign = -1 if column.lower_is_better else 1
    low, high = sorted((sign * nested.low + 0.0, sign * nested.high + 0.0))  # no negative zeros
    images_low, images_high = sorted((sign * fixed.low + 0.0, sign * fixed.high + 0.0))
    numbers = sign * nested.difference + 0.0, low, high, images_low, images_high
    counts = len(pair.a.seeds), len(pair.b.seeds), len(pair.a.cells[0].ids)
    return Finding(key, setting, *names, *column.key, column.unit, *numbers, *counts)
