"""What is measured, the most telling first: peaks, loading, every network as it is trained, then what might be faster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from typing import Any

import torch

from dmtl.config import Cell, Project, for_download, resolve
from dmtl.errors import UserError
from dmtl.hardware import loading, steps
from dmtl.hardware.machine import DTYPES, matrix_peak
from dmtl.hardware.record import Record
from dmtl.report.costs import Costs
from dmtl.report.measured import address


@dataclass(frozen=True)
class Work:
    """One measurement: where its result belongs, its name for people, and what makes it."""

    part: str
    key: str
    measure: Callable[[], Any]


def works(project: Project, costs: Costs, device: torch.device, rows: Sequence[str], seconds: float) -> list[Work]:
    """Everything that a selection asks for, in order.

    Args:
        rows: patterns of cells' names, such as `*-diffusion_feature`; empty: all of the grid.
        seconds: how long one thing is timed.

    Raises:
        UserError: no cell that is trained fits.
    """
    cells = _selected(costs, rows)
    peaks = [Work("peaks", precision, partial(matrix_peak, device, precision)) for precision in DTYPES]
    benchmarks = {cell.benchmark: cell for cell in reversed(cells)}
    loads = [
        Work("loading", name, partial(loading.loading_rates, project, resolve(project, cell), seconds))
        for name, cell in sorted(benchmarks.items())
    ]
    each = [list(_of_cell(project, device, cell, seconds)) for cell in cells]
    by_rank = [work for rank in range(max(map(len, each))) for group in each for work in group[rank : rank + 1]]
    unique = {(work.part, work.key): work for work in (*peaks, *loads, *by_rank)}
    return list(unique.values())


def missing(all_works: Sequence[Work], record: Record) -> list[Work]:
    """What the record does not have yet."""
    return [work for work in all_works if not record.has(work.part, work.key)]


def _selected(costs: Costs, rows: Sequence[str]) -> list[Cell]:
    """The cells, those of the paper's tables first, seeds left out."""
    cells = {
        name: cell
        for name, cell in costs.grid.cells.items()
        if cell.seed == 0 and (not rows or any(fnmatch(name, row) for row in rows)) and costs.training_steps(cell)
    }
    if not cells:
        raise UserError(f"--rows {' '.join(rows)}: no cell of grid.yaml that is trained has such a name; '*' stands for anything")
    tables = [cell.name() for table in (4, 1, 3, 2, 5) for cell in costs.table(table)]
    order = {name: number for number, name in enumerate(dict.fromkeys(tables))}
    return [cells[name] for name in sorted(cells, key=lambda name: order.get(name, len(order)))]


def _of_cell(project: Project, device: torch.device, cell: Cell, seconds: float) -> Iterator[Work]:
    training = resolve(project, cell)
    own, size = training.recipe.precision, for_download(project, cell.benchmark)[0].size
    other = next(precision for precision in DTYPES if precision != own)
    predicted = cell.model_copy(update={"setting": "full"})  # how many labels there were changes no prediction

    def step(precision: str, way: str) -> Work:
        run = partial(steps.training_step, training, size, precision, way, seconds)
        return Work("steps", address(cell, precision, way), run)

    def image(precision: str, way: str) -> Work:
        run = partial(steps.inference, training, size, precision, way, seconds)
        return Work("images", address(predicted, precision, way), run)

    yield step(own, "eager")
    yield image(own, "eager")
    yield step(own, "compiled")
    yield step(own, "layout")
    yield step(other, "eager")
    yield image(other, "eager")
    yield image(own, "compiled")
    if device.type == "cuda":
        yield step(own, "graphs")
        yield image(own, "graphs")
    yield step(other, "compiled")
    yield image(other, "compiled")
