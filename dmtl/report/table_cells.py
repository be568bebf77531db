"""The numbers of a table, ours beside the paper's, one per `TableCell`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import mean

from dmtl.config import Cell, Grid
from dmtl.report import published
from dmtl.report.columns import FLOPS, PARAMS, TRAIN_MEMORY, Column, columns_of
from dmtl.report.published import Row
from dmtl.report.results import Results, relative_gains, row_of, spread

CostOf = Callable[[Cell], Mapping[str, float]]  # -> params_m, flops_g of a cell's network at the paper's size

TABLES = (1, 2, 3, 4, 5)
WITH_OWN_ROWS = (1, 3)  # the tables that also list rows of ours that the paper prints nowhere: the constant, further settings
COUNTED = (PARAMS, FLOPS)
SETTING_TITLES = {"onelabel": "one", "randomlabels": "random", "full": "full"}


@dataclass(frozen=True)
class TableCell:
    """One number of a table; its fields are the columns of the CSV."""

    table: int
    benchmark: str
    setting: str
    method: str
    backbone: str
    task: str
    metric: str
    unit: str
    ours: float | None
    sd: float | None
    seeds: int | None
    paper: float | None
    difference: float | None

    @property
    def row(self) -> Row:
        return Row(self.benchmark, self.setting, self.method, self.backbone)

    @property
    def column(self) -> Column:
        return columns_of(self.benchmark)[self.task, self.metric]


def tables(grid: Grid) -> list[int]:
    """The paper's tables that have a row of one of the grid's benchmarks."""
    return [table for table in TABLES if any(row.benchmark in grid.benchmarks for row in published.rows(table))]


def table_numbers(table: int, grid: Grid, results: Results, costs: CostOf | None, comparable: bool) -> Iterator[TableCell]:
    """The numbers of a table: the paper's rows on the grid's benchmarks, and the rows of ours that belong beside them.

    Args:
        costs: counts our networks, at the paper's size whatever the scale.
        comparable: whether ours were trained as the paper's, so that a difference means something.
    """
    cells = {row_of(cell): cell for cell in grid.cells.values() if cell.steps is None}
    for row in table_rows(table, grid):
        printed = published.figures(table, row)
        for column in columns(table, row.benchmark):
            values = _costs(cells.get(row), column, costs) if column in COUNTED else _scores(row, column, results)
            ours, paper = (mean(values) if values else None), printed.get(column.key)
            difference = ours - paper if comparable and ours is not None and paper is not None else None
            key, seeds = (*row, *column.key, column.unit), len(values) or None
            yield TableCell(table, *key, ours, spread(values), seeds, paper, difference)


def columns(table: int, benchmark: str) -> list[Column]:
    """What a table prints of a benchmark: costs, tasks in their order, Delta_m."""
    printed = {(p.task, p.metric) for p in published.published() if (p.table, p.row.benchmark) == (table, benchmark)}
    return [column for key, column in columns_of(benchmark).items() if key in printed]


def table_rows(table: int, grid: Grid) -> list[Row]:
    """The rows of a table by benchmark, backbone, setting and method: the paper's, and those of ours that belong beside them.

    The paper's rows of a backbone that the grid has nowhere on that benchmark are left out; rows of backbones that the paper has
    nowhere belong to the tables with our own rows.
    """
    benchmarks = [row.benchmark for row in published.rows(table)]
    rows = [row for row in _candidates(table, grid) if row.benchmark in benchmarks]
    methods = grid.method_order(row.method for row in rows)
    settings = list(SETTING_TITLES)

    def place(row: Row) -> tuple[int, str, int, int]:
        return benchmarks.index(row.benchmark), row.backbone, settings.index(row.setting), methods.index(row.method)

    return sorted(rows, key=place)


def _candidates(table: int, grid: Grid) -> set[Row]:
    """The rows of a table, those of benchmarks that it does not show among them."""
    ours = {row_of(cell) for cell in grid.cells.values() if cell.steps is None}
    networks = {(row.benchmark, row.backbone) for row in ours}
    printed = [row for row in published.rows(table) if (row.benchmark, row.backbone) in networks]
    shown = {(row.benchmark, row.backbone) for row in published.rows(table)}
    others = networks - {(row.benchmark, row.backbone) for row in _printed_somewhere()}
    beside = shown | others if table in WITH_OWN_ROWS else set()
    unprinted = {row for row in ours - _printed_somewhere() if (row.benchmark, row.backbone) in beside}
    references = {row for row in ours if row.method == "single_task" and _is_reference(row, printed)}
    return {*printed} | unprinted | references


def cells_of_table(table: int, grid: Grid) -> list[str]:
    """The cells of the grid that a table shows, by their names."""
    rows = set(table_rows(table, grid))
    return [key for key, cell in grid.cells.items() if cell.steps is None and row_of(cell) in rows]


def _is_reference(row: Row, printed: list[Row]) -> bool:
    """Whether a table's Delta_m needs this single-task row although no table prints it (ResNet-50)."""
    return row not in _printed_somewhere() and any(row == other._replace(method="single_task") for other in printed)


def _printed_somewhere() -> set[Row]:
    return {p.row for p in published.published()}


def _costs(cell: Cell | None, column: Column, costs: CostOf | None) -> list[float]:
    return [] if cell is None or costs is None else [costs(cell)[column.metric]]


def _scores(row: Row, column: Column, results: Results) -> list[float]:
    if row not in results or column == TRAIN_MEMORY:  # memory is only known where a GPU measured it
        return []
    final = results[row].final
    return [scores[column.task] for scores in final] if column.task else relative_gains(row, final, results)
