"""The numbers of a table, ours beside the paper's, one an entry."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import mean

from dmtl.benchmarks.raw import benchmark_module
from dmtl.config import Cell, Grid
from dmtl.report import published
from dmtl.report.published import Row
from dmtl.report.results import Results, relative_gains, row_of, spread
from dmtl.tasks import TASKS

Column = tuple[str, str]  # (task, metric); no task for what is of the whole network
Costs = Callable[[Cell], Mapping[str, float]]  # -> params_m, flops_g of a cell's network at the paper's size

WITH_OWN_ROWS = (1, 3)  # the tables that also list our rows which the paper has nowhere: the constant, the full setting of NYUD
COUNTED = ("params_m", "flops_g")
UNITS = {"params_m": "M", "flops_g": "G", "train_memory_mb": "MB", "delta_m": "%"}
METHODS = {
    "constant": "Constant",
    "single_task": "Single-Task",
    "mtl_baseline": "MTL Baseline",
    "semi_supervised": "SS",
    "xtc": "XTC*",
    "mti_net": "MTI-Net",
    "invpt": "InvPT",
    "diffusion_prediction": "DiffusionMTL (Prediction)",
    "diffusion_feature": "DiffusionMTL (Feature)",
    "no_diffusion": "w/o Diffusion",
    "no_conditioning": "w/o Multi-Task Cond",
}
SETTINGS = {"onelabel": "one", "randomlabels": "random", "full": "full"}


@dataclass(frozen=True)
class Entry:
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
        return self.task, self.metric


@dataclass(frozen=True)
class StepEntry:
    """One number of Fig. 6, quality or cost against the number of diffusion steps; its fields are the columns of the CSV."""

    benchmark: str
    setting: str
    method: str
    backbone: str
    steps: int
    task: str
    metric: str
    unit: str
    ours: float
    sd: float | None
    seeds: int


def tables(grid: Grid) -> list[int]:
    """The paper's tables that have a row of one of the grid's benchmarks."""
    return [table for table in range(1, 6) if any(row.benchmark in grid.benchmarks for row in published.rows(table))]


def table_entries(table: int, grid: Grid, results: Results, costs: Costs | None, comparable: bool) -> Iterator[Entry]:
    """The numbers of a table: the paper's rows on the grid's benchmarks, and the rows of ours that belong beside them.

    Args:
        costs: counts our networks, at the paper's size whatever the scale.
        comparable: whether ours were trained as the paper's, so that a difference means something.
    """
    cells = {row_of(cell): cell for cell in grid.cells.values() if cell.steps is None}
    for row in table_rows(table, grid):
        printed = published.figures(table, row)
        for task, metric in columns(table, row.benchmark):
            values = _costs(cells.get(row), metric, costs) if metric in COUNTED else _scores(row, task, metric, results)
            ours, paper = (mean(values) if values else None), printed.get((task, metric))
            difference = ours - paper if comparable and ours is not None and paper is not None else None
            unit = TASKS[task].unit if task else UNITS[metric]
            yield Entry(table, *row, task, metric, unit, ours, spread(values), len(values) or None, paper, difference)


def columns(table: int, benchmark: str) -> list[Column]:
    """What a table prints of a benchmark: costs, tasks in their order, Delta_m."""
    printed = {(p.task, p.metric) for p in published.published() if (p.table, p.row.benchmark) == (table, benchmark)}
    costs = [("", metric) for metric in UNITS if metric != "delta_m"]
    tasks = [(task, TASKS[task].metric) for task in benchmark_module(benchmark).TASKS]
    return [column for column in (*costs, *tasks, ("", "delta_m")) if column in printed]


def table_rows(table: int, grid: Grid) -> list[Row]:
    """The rows of a table by benchmark, backbone, setting and method: the paper's, and those of ours that belong beside them.

    The paper's rows of a backbone that the grid has nowhere on that benchmark are left out; rows of backbones that the paper has
    nowhere belong to the tables with our own rows.
    """
    ours = {row_of(cell) for cell in grid.cells.values() if cell.steps is None}
    networks = {(row.benchmark, row.backbone) for row in ours}
    printed = [row for row in published.rows(table) if (row.benchmark, row.backbone) in networks]
    shown = {(row.benchmark, row.backbone) for row in published.rows(table)}
    others = networks - {(row.benchmark, row.backbone) for row in _printed_somewhere()}
    beside = shown | others if table in WITH_OWN_ROWS else set()
    own = [row for row in ours - _printed_somewhere() if (row.benchmark, row.backbone) in beside]
    references = [row for row in ours if row.method == "single_task" and _is_reference(row, printed)]
    every = {*printed, *own, *references}
    order = [row.benchmark for row in published.rows(table)]
    every = {row for row in every if row.benchmark in order}
    methods = list(dict.fromkeys([*METHODS, *sorted(row.method for row in every)]))
    settings = list(SETTINGS)

    def place(row: Row) -> tuple[int, str, int, int]:
        return order.index(row.benchmark), row.backbone, settings.index(row.setting), methods.index(row.method)

    return sorted(every, key=place)


def table_cells(table: int, grid: Grid) -> list[str]:
    """The cells that a table shows, by their names in the grid."""
    rows = set(table_rows(table, grid))
    return [key for key, cell in grid.cells.items() if cell.steps is None and row_of(cell) in rows]


def _is_reference(row: Row, printed: list[Row]) -> bool:
    """Whether a table's Delta_m needs this single-task row although no table prints it (ResNet-50)."""
    return row not in _printed_somewhere() and any(row == other._replace(method="single_task") for other in printed)


def _printed_somewhere() -> set[Row]:
    return {p.row for p in published.published()}


def _costs(cell: Cell | None, metric: str, costs: Costs | None) -> list[float]:
    return [] if cell is None or costs is None else [costs(cell)[metric]]


def _scores(row: Row, task: str, metric: str, results: Results) -> list[float]:
    if row not in results or metric == "train_memory_mb":  # memory is only told where a GPU measured it
        return []
    final = results[row].final
    return [scores[task] for scores in final] if task else relative_gains(row, final, results)
