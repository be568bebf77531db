"""A table as people read it: the entries of one benchmark as lines and columns, for every format alike."""

from collections.abc import Iterator
from dataclasses import dataclass

from dmtl.report import published
from dmtl.report.entries import METHODS, SETTINGS, Column, Entry
from dmtl.tasks import TASKS

COSTS = {"params_m": "#Params M", "flops_g": "FLOPs G", "train_memory_mb": "Train memory MB"}
LOWER_IS_BETTER = {column: kind.lower_is_better for task, kind in TASKS.items() for column in [(task, kind.metric)]}
DASH = "–"
TITLES = {"pascal": "PASCAL", "nyud": "NYUD", "cityscapes": "Cityscapes"}


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
        return form(self.ours, self.column) + ("" if self.sd is None else f" ± {form(self.sd, self.column)}")

    @property
    def paper_text(self) -> str:
        """The paper's figure, or nothing."""
        return "" if self.paper is None else form(self.paper, self.column)

    @property
    def difference_text(self) -> str:
        """Ours minus the paper's, signed, where the two can be compared and the sign means better or worse."""
        return "" if self.better is None or self.difference is None else f"{self.difference:+{_places(self.column)}f}"

    @property
    def better(self) -> bool | None:
        """Whether ours is better than the paper's; None where they cannot be compared."""
        if self.difference is None or self.column[1] in COSTS:
            return None
        return self.difference < 0 if LOWER_IS_BETTER.get(self.column) else self.difference > 0


@dataclass(frozen=True)
class Line:
    """One method; `copied` lines are figures that the paper took from [6], of other networks."""

    setting: str
    backbone: str
    method: str
    numbers: list[Number]
    copied: bool = False


@dataclass(frozen=True)
class Section:
    """What a table says of one benchmark."""

    benchmark: str
    columns: list[Column]
    lines: list[Line]

    @property
    def headings(self) -> list[str]:
        """What stands over the numbers."""
        return [heading(column) for column in self.columns]

    @property
    def backbones(self) -> list[str]:
        """The backbones that the lines have."""
        return list(dict.fromkeys(line.backbone for line in self.lines))


def sections(table: int, entries: list[Entry]) -> list[Section]:
    """A table's entries as one section a benchmark."""
    found = []
    for benchmark in dict.fromkeys(entry.benchmark for entry in entries):
        own = [entry for entry in entries if entry.benchmark == benchmark]
        columns = list(dict.fromkeys(entry.column for entry in own))
        found.append(Section(benchmark, columns, list(_lines(table, own, columns))))
    return found


def _lines(table: int, entries: list[Entry], columns: list[Column]) -> Iterator[Line]:
    best = _best(entries)
    for row in dict.fromkeys(entry.row for entry in entries):
        numbers = [
            Number(e.column, e.ours, e.sd, e.paper, e.difference, best=e in best) for e in entries if e.row == row
        ]  # in the order of the columns
        yield Line(SETTINGS[row.setting], row.backbone, METHODS.get(row.method, row.method), numbers)
        copied = published.figures(table, row, source="[6]")
        if copied:
            title = f"{METHODS[row.method].rstrip('*')} of [6], another network"
            yield Line(SETTINGS[row.setting], row.backbone, title, [Number(c, paper=copied.get(c)) for c in columns], copied=True)


def _best(entries: list[Entry]) -> set[Entry]:
    """The best of ours in each column, setting and backbone, the constant aside."""
    groups: dict[tuple, list[Entry]] = {}
    for entry in entries:
        if entry.ours is not None and entry.method != "constant" and entry.metric not in COSTS:
            groups.setdefault((entry.column, entry.setting, entry.backbone), []).append(entry)
    return {_best_of(group) for group in groups.values() if len(group) > 1}


def _best_of(group: list[Entry]) -> Entry:
    sign = -1 if LOWER_IS_BETTER.get(group[0].column) else 1
    return max(group, key=lambda entry: sign * (entry.ours or 0))


def benchmark_title(benchmark: str) -> str:
    """A benchmark's name for people; an unknown one as it is."""
    return TITLES.get(benchmark, benchmark)


def heading(column: Column) -> str:
    """Task, metric, unit and the direction of better."""
    task, metric = column
    if not task:
        return COSTS.get(metric, "Δm % ↑")
    kind = TASKS[task]
    unit = "" if kind.unit == "as stored" else f" {kind.unit}"
    return f"{kind.title}: {kind.metric_title}{unit} {'↓' if kind.lower_is_better else '↑'}"


def form(value: float, column: Column) -> str:
    """A number with as many places as the paper gives it."""
    return f"{value:{_places(column)}f}"


def _places(column: Column) -> str:
    task, metric = column
    if metric in COSTS:
        return ".0"
    return ".4" if task == "depth" else ".2"


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
