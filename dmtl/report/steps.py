"""Quality and cost against the number of diffusion steps: the numbers of the paper's Fig. 6."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from dmtl.config import Cell, Grid, Paths
from dmtl.report.claims import DRAWS, LEVEL, SEED
from dmtl.report.columns import DELTA_M, FLOPS, Column, Key, columns_of, headline_columns
from dmtl.report.compare import Pair, load_group, reference_of, require_same_images, score_intervals
from dmtl.report.published import Row
from dmtl.report.results import Results, Scores, load_steps, relative_gains, row_of, spread
from dmtl.report.table_cells import CostOf


@dataclass(frozen=True)
class StepsCell:
    """One number of Fig. 6; its fields are the columns of the CSV.

    `low` to `high` is the interval over test images and seeds, None where the images' own statistics are not there.
    """

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
    low: float | None = None
    high: float | None = None

    @property
    def row(self) -> Row:
        return Row(self.benchmark, self.setting, self.method, self.backbone)

    @property
    def column(self) -> Column:
        return columns_of(self.benchmark)[self.task, self.metric]


def steps_numbers(
    grid: Grid, paths: Paths, results: Results, costs: CostOf | None, default_steps: Callable[[Row], int | None]
) -> Iterator[StepsCell]:
    """The numbers of the rows with a cell that pins its steps.

    Args:
        costs: counts a cell's network at the paper's size.
        default_steps: of a row's cells that pin none, which so have their place among those that do.
    """
    cells = {(row_of(cell), cell.steps or default_steps(row_of(cell))): cell for cell in grid.cells.values()}
    for row, pinned in load_steps(grid, paths).items():
        steps_now = default_steps(row)
        default = {steps_now: results[row]} if steps_now and row in results else {}
        for steps, trained in sorted({**default, **pinned}.items()):
            cell = cells[row, steps]
            values, ends = _values(row, trained.final, results), _intervals(grid, paths, cell)
            values[FLOPS.key] = [costs(cell)[FLOPS.metric]] if costs else []
            for key, seeds in values.items():
                if seeds:
                    of_seeds = mean(seeds), spread(seeds), len(seeds), *ends.get(key, (None, None))
                    yield StepsCell(*row[:4], steps, *key, columns_of(row.benchmark)[key].unit, *of_seeds)


def _intervals(grid: Grid, paths: Paths, cell: Cell) -> dict[Key, tuple[float, float]]:
    """Of a cell with all its seeds; of Delta_m where the single-task networks were tested on the same images."""
    group, reference = load_group(grid, paths, cell), reference_of(grid, paths, cell)
    if group is None:
        return {}
    require_same_images(Pair(group, group, reference, reference), paths)
    return score_intervals(group, reference, DRAWS, LEVEL, SEED)


def _values(row: Row, final: Sequence[Scores], results: Results) -> dict[Key, list[float]]:
    """Each task and Delta_m: a value per seed."""
    columns = headline_columns(row.benchmark)
    values = {columns[task].key: [seed[task] for seed in final if task in seed] for task in columns}
    return {**values, DELTA_M.key: relative_gains(row, list(final), results)}
