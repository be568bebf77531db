"""What a report does not show, and why: rows that were not trained, what only a GPU measures, figures without their cells."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dmtl.config import Grid
from dmtl.evaluation.gallery import REFERENCE
from dmtl.report.entries import METHODS, SETTINGS, StepEntry, columns, table_rows, tables
from dmtl.report.layout import benchmark_title
from dmtl.report.published import Row
from dmtl.report.results import Results, row_of


class Gap(NamedTuple):
    """What is not shown and why, and the command that fills it, where there is one."""

    text: str
    command: str = ""


def missing(grid: Grid, results: Results, steps: Sequence[StepEntry], shown: Sequence[str], scale: str) -> Iterator[Gap]:
    """Every gap of a report.

    Args:
        shown: benchmarks of which there are pictures.
    """
    planned = {row_of(cell) for cell in grid.cells.values() if cell.steps is None}
    for table in tables(grid):
        rows = table_rows(table, grid)
        for benchmark in dict.fromkeys(row.benchmark for row in rows):
            own = [row for row in rows if row.benchmark == benchmark]
            name = f"Table {table}, {benchmark_title(benchmark)}"
            not_run = [row for row in own if row in planned and row not in results]
            if not_run:
                yield Gap(f"{name}: {len(not_run)} of {len(own)} rows were not run ({_named(not_run)}).", _how(table, scale))
            unplanned = [row for row in own if row not in planned]
            if unplanned:
                yield Gap(f"{name}: the grid has no cell for {len(unplanned)} of {len(own)} rows ({_named(unplanned)}).")
            yield from _without_reference(name, own, results)
            if ("", "train_memory_mb") in columns(table, benchmark):
                yield Gap(f"{name}: training memory of ours was not measured; that takes a GPU.")
    pinned = {(row_of(cell), cell.steps) for cell in grid.cells.values() if cell.steps is not None}
    there = {(Row(e.benchmark, e.setting, e.method, e.backbone), e.steps) for e in steps}
    if pinned - there:
        yield Gap(f"Diffusion steps (Fig. 6): {len(pinned - there)} of {len(pinned)} cells that pin their steps were not run.")
    for benchmark in grid.benchmarks:
        if benchmark not in shown:
            text = f"Test images of {benchmark_title(benchmark)}: the evaluation of {METHODS[REFERENCE]}, one label an image, "
            yield Gap(f"{text}leaves the images and labels, and what it leaves is not there.")


def _named(rows: Sequence[Row]) -> str:
    """Their methods by setting and, where there are several, backbone."""
    several = len({row.backbone for row in rows}) > 1
    groups: dict[str, list[str]] = {}
    for row in rows:
        group = SETTINGS[row.setting] + (f", {row.backbone}" if several else "")
        groups.setdefault(group, []).append(METHODS.get(row.method, row.method))
    return "; ".join(f"{group}: {', '.join(methods)}" for group, methods in groups.items())


def _how(table: int, scale: str) -> str:
    if scale == "study":
        return "dvc repro study/dvc.yaml"
    return f"{'dvc repro' if scale == 'demo' else f'dvc exp run -S scale={scale}'} $(python -m dmtl cells --table {table})"


def _without_reference(name: str, rows: Sequence[Row], results: Results) -> Iterator[Gap]:
    """Rows that were run and have no Delta_m, since it is relative to single tasks."""
    groups = dict.fromkeys((row.setting, row.backbone) for row in rows if row in results)
    for setting, backbone in groups:
        reference = Row(rows[0].benchmark, setting, "single_task", backbone)
        if reference not in results:
            single = METHODS["single_task"]
            yield Gap(f"{name}: no Δm for {SETTINGS[setting]}, {backbone}, since {single} has no result there.")
