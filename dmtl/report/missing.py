"""What a report does not show, and why: rows that were not trained, what only a GPU measures, figures without their cells."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dmtl.benchmarks import benchmark
from dmtl.config import Grid
from dmtl.evaluation.gallery import REFERENCE
from dmtl.report.columns import TRAIN_MEMORY, headline_columns
from dmtl.report.layout import name_of, title_of
from dmtl.report.published import Row
from dmtl.report.results import Results, row_of, shown_setting
from dmtl.report.steps import StepsCell
from dmtl.report.table_cells import BEYOND, SETTING_TITLES, columns, planned_cells, table_rows, tables


class Gap(NamedTuple):
    """What is not shown and why, and the command that fills it, where there is one."""

    text: str
    command: str = ""


def missing(grid: Grid, results: Results, steps: Sequence[StepsCell], shown: Sequence[str], scale: str) -> Iterator[Gap]:
    """Every gap of a report.

    Args:
        shown: benchmarks of which there are pictures.
    """
    for table in tables(grid):
        rows = table_rows(table, grid)
        for name in dict.fromkeys(row.benchmark for row in rows):
            yield from _of_table(table, name, [row for row in rows if row.benchmark == name], grid, results, scale)
    yield from _of_steps(grid, steps)
    for name in grid.benchmarks:
        if name not in shown:
            which = f"{grid.title(REFERENCE)} with labels '{SETTING_TITLES[shown_setting(grid, name)]}'"
            text = f"Test images of {benchmark(name).title}: the evaluation of {which} leaves the images and labels"
            yield Gap(f"{text}, and what it leaves is not there.")


def _of_table(table: int, benchmark_name: str, rows: Sequence[Row], grid: Grid, results: Results, scale: str) -> Iterator[Gap]:
    """The gaps of what a table says of one benchmark."""
    planned = planned_cells(table, grid)
    name = f"{name_of(table).partition(',')[0]}, {benchmark(benchmark_name).title}"
    rows = [row for row in rows if row in planned] if table == BEYOND else rows  # other papers' rows are no gaps of ours
    not_run = [row for row in rows if row in planned and row not in results]
    if not_run:
        yield Gap(f"{name}: {len(not_run)} of {len(rows)} rows were not run ({_named(not_run, grid)}).", _how(table, scale))
    unplanned = [row for row in rows if row not in planned]
    if unplanned:
        yield Gap(f"{name}: the grid has no cell for {len(unplanned)} of {len(rows)} rows ({_named(unplanned, grid)}).")
    references = {"single_task": "Δm", "mtl_baseline": "Δ vs MTL Baseline"} if table == BEYOND else {"single_task": "Δm"}
    for reference, gain in references.items():
        yield from _without_reference(name, gain, reference, rows, grid, results)
    if TRAIN_MEMORY in columns(table, benchmark_name):
        yield Gap(f"{name}: training memory of ours was not measured; that takes a GPU.")


def _of_steps(grid: Grid, steps: Sequence[StepsCell]) -> Iterator[Gap]:
    pinned = {(row_of(cell), cell.steps) for cell in grid.cells.values() if cell.steps is not None}
    missed = pinned - {(cell.row, cell.steps) for cell in steps}
    if missed:
        yield Gap(f"Diffusion steps (Fig. 6): {len(missed)} of {len(pinned)} cells that pin their steps were not run.")


def _named(rows: Sequence[Row], grid: Grid) -> str:
    """Their methods by setting and, where there are several, backbone."""
    several = len({row.backbone for row in rows}) > 1
    groups: dict[str, list[str]] = {}
    for row in rows:
        group = SETTING_TITLES[row.setting] + (f", {row.backbone}" if several else "")
        groups.setdefault(group, []).append(title_of(row, grid))
    return "; ".join(f"{group}: {', '.join(methods)}" for group, methods in groups.items())


def _how(table: int, scale: str) -> str:
    if scale == "study":
        return "dvc repro"
    return f"{'dvc repro' if scale == 'demo' else f'dvc exp run -S scale={scale}'} $(python -m dmtl cells --table {table})"


def _without_reference(name: str, gain: str, reference: str, rows: Sequence[Row], grid: Grid, results: Results) -> Iterator[Gap]:
    """Rows that were run and have no gain, since it is relative to a method that was not, such as single tasks."""
    for setting, backbone in dict.fromkeys((row.setting, row.backbone) for row in rows if row in results):
        row = Row(rows[0].benchmark, setting, reference, backbone)
        scores = results[row].mean() if row in results else {}
        title, unscored = grid.title(reference), sorted(headline_columns(row.benchmark).keys() - scores.keys())
        if not scores or unscored or not all(scores.values()):
            why = f"scores 0 on {', '.join(t for t, value in scores.items() if not value)}" if scores else "has no result"
            why = f"has no score of {', '.join(unscored)}" if scores and unscored else why
            yield Gap(f"{name}: no {gain} for {SETTING_TITLES[setting]}, {backbone}, since {title} {why} there.")
