"""A table as people read it: the numbers of one benchmark as lines and columns, for every format alike."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from string import ascii_lowercase
from types import MappingProxyType

from dmtl.benchmarks import benchmark
from dmtl.config import Grid
from dmtl.report import other_papers, published
from dmtl.report.changed import Changes
from dmtl.report.columns import Column
from dmtl.report.margins import with_steps
from dmtl.report.other_papers import Note
from dmtl.report.published import Row
from dmtl.report.table_cells import BEYOND, OWN, SETTING_TITLES, TableCell, planned_cells

DASH = "–"


def name_of(table: int) -> str:
    """A table's name for people."""
    return {OWN: "Scores", BEYOND: f"Table {table}, beyond the paper"}.get(table, f"Table {table}")


def file_of(table: int) -> str:
    """The name of a table's files, without their endings."""
    return "scores" if table == OWN else f"table{table}"


def title_of(row: Row, grid: Grid) -> str:
    """The method of a row for people, with the steps that its cells pin."""
    return grid.title(row.method) + (with_steps(row.steps) if row.steps is not None else "")


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
    """One method; `copied` lines are printed figures alone, of networks that no cell of ours trains: of [6], of other papers."""

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
    """What a table says of one benchmark; `notes` are the sources that methods refer to, such as `[a] ...`."""

    benchmark: str
    columns: list[Column]
    lines: list[Line]
    notes: list[str]

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
    def printed(self) -> bool:
        """Whether any line has a printed figure."""
        return any(number.paper is not None for line in self.lines for number in line.numbers)

    @property
    def bold(self) -> bool:
        """Whether any number of ours is the best."""
        return any(number.best for line in self.lines for number in line.numbers)

    @property
    def spread(self) -> bool:
        """Whether several seeds were trained of any line."""
        return any(number.sd is not None for line in self.lines for number in line.numbers)


def sections(table: int, cells: list[TableCell], grid: Grid, changed: Changes = MappingProxyType({})) -> list[Section]:
    """A table's numbers as one section per benchmark, without the columns that hold no number; `changed` rows are marked."""
    parts = []
    for name in dict.fromkeys(cell.benchmark for cell in cells):
        numbers = [cell for cell in cells if cell.benchmark == name]
        filled = {cell.column for cell in numbers if cell.ours is not None or cell.paper is not None}
        columns = [column for column in dict.fromkeys(cell.column for cell in numbers) if column in filled]
        shown = [cell for cell in numbers if cell.column in columns]
        marks = _marks(shown) if table == BEYOND else {}
        lines = list(_beyond_lines(shown, marks, grid) if table == BEYOND else _lines(table, shown, columns, grid))
        notes = [_note(mark, *note) for note, mark in marks.items()]
        ours = [(line.row, line.method, line.setting) for line in lines if not line.copied]
        marked = [replace(line, method=f"{line.method} †") if _is_changed(line, changed) else line for line in lines]
        parts.append(Section(name, columns, marked, [*notes, *changed_notes(ours, changed)]))
    return parts


def _is_changed(line: Line, changed: Changes) -> bool:
    return not line.copied and line.row in changed


def changed_notes(rows: Iterable[tuple[Row, str, str]], changed: Changes) -> Iterator[str]:
    """How those of some rows that are changed were trained, a note for all that differ in the same.

    Args:
        rows: each with its title and its setting for people.
    """
    groups: dict[str, list[str]] = {}
    for row, title, setting in rows:
        if row in changed:
            groups.setdefault("; ".join(changed[row]), []).append(f"{title} ({setting})")
    for difference, titles in groups.items():
        yield f"† {', '.join(titles)}: trained with other parameters than would be taken now: {difference}."


def _lines(table: int, cells: list[TableCell], columns: list[Column], grid: Grid) -> Iterator[Line]:
    for row, numbers in _numbers(cells):
        title = grid.title(row.method)
        yield Line(row, title, numbers)
        copied = published.figures(table, row, source="[6]")
        if copied:
            printed = [Number(column, paper=copied.get(column.key)) for column in columns]
            yield Line(row, f"{title.rstrip('*')} of [6], another network", printed, copied=True)


def _beyond_lines(cells: list[TableCell], marks: dict[Note, str], grid: Grid) -> Iterator[Line]:
    """The printed rows bear the title that their source gives the method, and the mark of their note."""
    ours = planned_cells(BEYOND, grid)
    for row, numbers in _numbers(cells):
        printed = other_papers.printed_rows().get(row)
        alone = printed is not None and row not in ours
        title = printed.title if printed and alone else title_of(row, grid)
        yield Line(row, f"{title} [{marks[printed.note]}]" if printed else title, numbers, copied=alone)


def _numbers(cells: list[TableCell]) -> Iterator[tuple[Row, list[Number]]]:
    """Each row with its numbers in the order of the columns."""
    best = _best(cells)
    for row in dict.fromkeys(cell.row for cell in cells):
        of_row = [cell for cell in cells if cell.row == row]
        yield row, [Number(c.column, c.ours, c.sd, c.paper, c.difference, best=c in best) for c in of_row]


def _marks(cells: list[TableCell]) -> dict[Note, str]:
    """What is to be said of the printed rows -> its letter."""
    rows = (other_papers.printed_rows().get(cell.row) for cell in cells)
    return dict(zip(dict.fromkeys(row.note for row in rows if row), ascii_lowercase, strict=False))


def _note(mark: str, source: str, remark: str) -> str:
    return f"[{mark}] {source}{f': {remark}' if remark else ''}."


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


def provenance(table: int, scale: str) -> str:
    """What made the figures, and whether they can be compared with the printed ones."""
    if table == BEYOND:
        return _provenance_beyond(scale)
    if table == OWN:
        return (
            "Scored on the test images that have a label of the task. Parameters and FLOPs are counted at the size of training. "
            "Δm is relative to Single-Task of the same labels and backbone. A dash is a figure that was not computed."
        )
    if scale == "paper":
        return "Trained at the paper's sizes. Each field: ours, then the paper's figure in parentheses."
    made = "synthetic scenes" if scale == "demo" else "real images, at a smaller size than the paper's"
    return (
        f"Trained on {made}: **not comparable with the paper's figures**, which stand in parentheses only to show the layout "
        "of its table. Parameters and FLOPs are counted at the paper's size, whatever the scale. A dash is a figure that was not "
        "computed or not printed; lines without parentheses are ours alone."
    )


def _provenance_beyond(scale: str) -> str:
    """The same of the table beyond the paper, whose printed lines are never comparable."""
    made = {"paper": "at the paper's sizes", "demo": "on synthetic scenes"}
    trained = made.get(scale, "on real images, at a smaller size than the paper's")
    return (
        f"Every method on partial labels, trained {trained}. Lines in parentheses are what other papers print: **not comparable "
        "with ours**, since backbone, image size and training are others. Parameters and FLOPs are counted at the paper's size, "
        "whatever the scale. Δm is relative to Single-Task, the other Δ to MTL Baseline, each of the same labels and backbone. A "
        "dash is a figure that was not computed or not printed."
    )
