"""The numbers of a table, ours beside the paper's, one per `TableCell`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import mean

from dmtl.config import Cell, Grid
from dmtl.report import other_papers, published
from dmtl.report.columns import DELTA_MTL, FLOPS, PARAMS, TRAIN_MEMORY, Column, Key, columns_of
from dmtl.report.published import Row
from dmtl.report.results import Results, gains_over, relative_gains, row_with_steps, spread

CostOf = Callable[[Cell], Mapping[str, float]]  # -> params_m, flops_g of a cell's network at the paper's size, train_memory_mb

TABLES = (1, 2, 3, 4, 5, 6)
OWN = 0  # the scores on benchmarks that no paper prints: a user's own
BEYOND = 6  # beyond the paper: every method on partial labels, and what other papers print
WITH_OWN_ROWS = (1, 3)  # the tables that also list rows of ours that the paper prints nowhere: the constant, further settings
COUNTED = (PARAMS, FLOPS, TRAIN_MEMORY)
SETTING_TITLES = {"onelabel": "one", "randomlabels": "random", "full": "full", "given": "as given"}


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


@dataclass(frozen=True)
class BeyondCell(TableCell):
    """One number of the table beyond the paper, whose `paper` is what another paper prints: where, and what to know of it.

    `steps` is the number of diffusion steps, where the row's cells pin one.
    """

    steps: int | None
    source: str
    remark: str

    @property
    def row(self) -> Row:
        return super().row._replace(steps=self.steps)


def tables(grid: Grid) -> list[int]:
    """The tables that have a printed row of one of the grid's benchmarks, after that of benchmarks that no paper prints."""
    printed = [table for table in TABLES if any(row.benchmark in grid.benchmarks for row in _printed_rows(table))]
    return [*([OWN] if unprinted_benchmarks(grid) else []), *printed]


def unprinted_benchmarks(grid: Grid) -> list[str]:
    """The benchmarks of the grid that no paper prints figures of."""
    known = {row.benchmark for table in TABLES for row in _printed_rows(table)}
    return [name for name in grid.benchmarks if name not in known]


def table_numbers(table: int, grid: Grid, results: Results, costs: CostOf | None, comparable: bool) -> Iterator[TableCell]:
    """The numbers of a table: the printed rows on the grid's benchmarks, and the rows of ours that belong beside them.

    Args:
        costs: counts our networks, at the paper's size whatever the scale.
        comparable: whether ours were trained as the paper's, so that a difference means something; never as other papers'.
    """
    cells = planned_cells(table, grid)
    for row in table_rows(table, grid):
        printed = _figures(table, row)
        for column in columns(table, row.benchmark):
            values = _costs(cells.get(row), column, costs) if column in COUNTED else _scores(row, column, results)
            ours, paper = (mean(values) if values else None), printed.get(column.key)
            key, scores = (*row[:4], *column.key, column.unit), (ours, spread(values), len(values) or None, paper)
            if table == BEYOND:
                yield BeyondCell(table, *key, *scores, None, row.steps, *other_papers.printed(row).note)
            else:
                difference = ours - paper if comparable and ours is not None and paper is not None else None
                yield TableCell(table, *key, *scores, difference)


def columns(table: int, benchmark: str) -> list[Column]:
    """What a table shows of a benchmark: costs, tasks in their order, relative gains."""
    if table in (OWN, BEYOND):
        left_out = (TRAIN_MEMORY, *([DELTA_MTL] if table == OWN else []))
        return [column for column in columns_of(benchmark).values() if column not in left_out]
    printed = {(p.task, p.metric) for p in published.published() if (p.table, p.row.benchmark) == (table, benchmark)}
    return [column for key, column in columns_of(benchmark).items() if key in printed]


def table_rows(table: int, grid: Grid) -> list[Row]:
    """The rows of a table by benchmark, backbone, setting and method: the paper's, and those of ours that belong beside them.

    Beyond the paper by benchmark and setting: ours by backbone and method, then the printed ones, a source after the other.

    The paper's rows of a backbone that the grid has nowhere on that benchmark are left out; rows of backbones that the paper has
    nowhere belong to the tables with our own rows.
    """
    benchmarks = unprinted_benchmarks(grid) if table == OWN else [row.benchmark for row in _printed_rows(table)]
    candidates = planned_cells(table, grid) if table in (OWN, BEYOND) else _candidates(table, grid)
    rows = [row for row in candidates if row.benchmark in benchmarks]
    methods = grid.method_order(row.method for row in rows)
    settings = list(SETTING_TITLES)

    def place(row: Row) -> tuple[int, str, int, int, int]:
        order = benchmarks.index(row.benchmark), row.backbone, settings.index(row.setting), methods.index(row.method)
        return *order, row.steps or 0

    ordered = sorted(rows, key=place)
    return other_papers.with_printed(ordered, grid.benchmarks) if table == BEYOND else ordered


def _candidates(table: int, grid: Grid) -> set[Row]:
    """The rows of a table, those of benchmarks that it does not show among them."""
    ours = set(planned_cells(table, grid))
    networks = {(row.benchmark, row.backbone) for row in ours}
    printed = [row for row in published.rows(table) if (row.benchmark, row.backbone) in networks]
    shown = {(row.benchmark, row.backbone) for row in published.rows(table)}
    others = networks - {(row.benchmark, row.backbone) for row in _printed_somewhere()}
    beside = shown | others if table in WITH_OWN_ROWS else set()
    unprinted = {row for row in ours - _printed_somewhere() if (row.benchmark, row.backbone) in beside and not _only_beyond(row)}
    references = {row for row in ours if row.method == "single_task" and _is_reference(row, printed)}
    return {*printed} | unprinted | references


def cells_of_table(table: int, grid: Grid) -> list[str]:
    """The cells of the grid that a table shows, by their names."""
    rows = set(table_rows(table, grid))
    return [key for key, cell in grid.cells.items() if row_with_steps(cell) in rows]


def planned_cells(table: int, grid: Grid) -> dict[Row, Cell]:
    """The rows of ours that a table may show, with a cell of each.

    Beyond the paper, a pinned number of steps is a row of its own where a method that the paper lacks pins it: both that method
    and those of the paper with as many steps, which it is compared with.
    """
    cells = {row_with_steps(cell): cell for cell in reversed(grid.cells.values())}  # of several seeds the first
    new = {row._replace(method="") for row in cells if row.method not in _papers_methods()}
    return {row: cell for row, cell in cells.items() if row.steps is None or (table == BEYOND and row._replace(method="") in new)}


def _only_beyond(row: Row) -> bool:
    """Whether the table beyond the paper alone shows this row of ours: its method is in no table of the paper."""
    return row.method not in _papers_methods() and other_papers.is_beside(row)


def _papers_methods() -> set[str]:
    """The methods of the paper's tables, and the constant, which stands beside them."""
    return {"constant", *(printed.row.method for printed in published.published())}


def _printed_rows(table: int) -> list[Row]:
    return list(other_papers.printed_rows()) if table == BEYOND else published.rows(table)


def _figures(table: int, row: Row) -> Mapping[Key, float]:
    return other_papers.printed(row).figures if table == BEYOND else published.figures(table, row)


def _is_reference(row: Row, printed: list[Row]) -> bool:
    """Whether a table's Delta_m needs this single-task row although no table prints it (ResNet-50)."""
    return row not in _printed_somewhere() and any(row == other._replace(method="single_task") for other in printed)


def _printed_somewhere() -> set[Row]:
    return {p.row for p in published.published()}


def _costs(cell: Cell | None, column: Column, costs: CostOf | None) -> list[float]:
    figures = {} if cell is None or costs is None else costs(cell)
    return [figures[column.metric]] if column.metric in figures else []  # memory is only known where a GPU measured it


def _scores(row: Row, column: Column, results: Results) -> list[float]:
    if row not in results:
        return []
    final = results[row].final
    if column == DELTA_MTL:
        return gains_over("mtl_baseline", row, final, results)
    return (
        [scores[column.task] for scores in final if column.task in scores] if column.task else relative_gains(row, final, results)
    )
