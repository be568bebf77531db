"""A table as people read it: the numbers of one benchmark as lines and columns, for every format alike."""

from collections.abc import Iterator
from dataclasses import dataclass

from dmtl.benchmarks import benchmark
from dmtl.config import Grid
from dmtl.report import published
from dmtl.report.columns import Column
from dmtl.report.published import Row
from dmtl.report.table_cells import SETTING_TITLES, TableCell

DASH = "–"


@dataclass(frozen=True)
class Number:
    """One field of a table: ours with its spread over seeds, the paper's, and whether ours is the best of its setting."""

    column: Column
    ours: float | None = None
    sd: float | None = None
    paper: float | None = None
    difference: float | None = None
    best: bool = False

    @property
    def text(self) -> str:
        """Ours, such as `42.00 ± 2.83`, or a dash."""
        if self.ours is None:
            return DASH
        return self.column.form(self.ours) + ("" if self.sd is None else f" ± {self.column.form(self.sd)}")

    @property
    def paper_text(self) -> str:
        """The paper's figure, or nothing."""
        return "" if self.paper is None else self.column.form(self.paper)

    @property
    def difference_text(self) -> str:
        """Ours minus the paper's, signed, where the two can be compared and the sign means better or worse."""
        return "" if self.better is None or self.difference is None else self.column.form(self.difference, "+")

    @property
    def better(self) -> bool | None:
        """Whether ours is better than the paper's; None where they cannot be compared."""
        if self.difference is None or self.column.lower_is_better is None:
            return None
        return self.difference < 0 if self.column.lower_is_better else self.difference > 0


@dataclass(frozen=True)
class Line:
    """One method; `copied` lines are figures that the paper took from [6], of other networks."""

    row: Row
    method: str
    numbers: list[Number]
    copied: bool = False

    @property
    def setting(self) -> str:
        return SETTING_TITLES[self.row.setting]

    @property
    def backbone(self) -> str:
        return self.row.backbone


@dataclass(frozen=True)
class Section:
    """What a table says of one benchmark."""

    benchmark: str
    columns: list[Column]
    lines: list[Line]

    @property
    def title(self) -> str:
        """The benchmark's name for people."""
        return benchmark(self.benchmark).title

    @property
    def headings(self) -> list[str]:
        """What stands over the numbers."""
        return [column.heading for column in self.columns]

    @property
    def backbones(self) -> list[str]:
        """The backbones that the lines have."""
        return list(dict.fromkeys(line.backbone for line in self.lines))

    @property
    def spread(self) -> bool:
        """Whether several seeds were trained of any line."""
        return any(number.sd is not None for line in self.lines for number in line.numbers)


def sections(table: int, cells: list[TableCell], grid: Grid) -> list[Section]:
    """A table's numbers as one section per benchmark."""
    parts = []
    for name in dict.fromkeys(cell.benchmark for cell in cells):
        numbers = [cell for cell in cells if cell.benchmark == name]
        columns = list(dict.fromkeys(cell.column for cell in numbers))
        parts.append(Section(name, columns, list(_lines(table, numbers, columns, grid))))
    return parts


def _lines(table: int, cells: list[TableCell], columns: list[Column], grid: Grid) -> Iterator[Line]:
    best = _best(cells)
    for row in dict.fromkeys(cell.row for cell in cells):
        title, of_row = grid.title(row.method), [cell for cell in cells if cell.row == row]  # in the order of the columns
        yield Line(row, title, [Number(c.column, c.ours, c.sd, c.paper, c.difference, best=c in best) for c in of_row])
        copied = published.figures(table, row, source="[6]")
        if copied:
            numbers = [Number(column, paper=copied.get(column.key)) for column in columns]
            yield Line(row, f"{title.rstrip('*')} of [6], another network", numbers, copied=True)


def _best(cells: list[TableCell]) -> set[TableCell]:
    """The best of ours in each column, setting and backbone, the constant aside."""
    groups: dict[tuple, list[TableCell]] = {}
    for cell in cells:
        if cell.ours is not None and cell.method != "constant" and cell.column.lower_is_better is not None:
            groups.setdefault((cell.column, cell.setting, cell.backbone), []).append(cell)
    return {_best_of(group) for group in groups.values() if len(group) > 1}


def _best_of(group: list[TableCell]) -> TableCell:
    sign = -1 if group[0].column.lower_is_better else 1
    return max(group, key=lambda cell: sign * (cell.ours or 0))


def provenance(scale: str) -> str:
    """What made the figures, and whether they can be compared with the paper's."""
    if scale == "paper":
        return "Trained at the paper's sizes. Each field: ours, then the paper's figure in parentheses."
    made = "synthetic scenes" if scale == "demo" else "real images, at a smaller size than the paper's"
    return (
        f"Trained on {made}: **not comparable with the paper's figures**, which stand in parentheses only to show the layout "
        "of its table. Parameters and FLOPs are counted at the paper's size, whatever the scale. A dash is a figure that was not "
        "computed or not printed; lines without parentheses are ours alone."
    )
