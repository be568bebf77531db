"""Tables as long CSV, one number a row, and as Markdown laid out like the paper's."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from statistics import mean

from dmtl.benchmarks.raw import benchmark_module
from dmtl.config import Grid, Paths
from dmtl.files import replacing, write_json
from dmtl.report import published
from dmtl.report.published import Row
from dmtl.report.results import Trained, load_results, relative_gains, row_of, spread
from dmtl.tasks import TASKS

TABLES = (3,)  # those whose benchmarks and methods are in the grid
SUMMARISED = ("diffusion_prediction", "diffusion_feature")
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
    "no_diffusion": "– w/o Diffusion",
    "no_conditioning": "– w/o Multi-Task Cond",
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


def write_report(grid: Grid, paths: Paths) -> None:
    """Write every table as CSV and Markdown, and summary.json."""
    results = load_results(grid, paths)
    for table in TABLES:
        entries = list(table_entries(table, grid, results, comparable=paths.scale == "paper"))
        _write_csv(entries, paths, table)
        with replacing(paths.reports() / f"table{table}.md") as temporary:
            temporary.write_text(_markdown(table, entries, results, paths.scale), encoding="utf-8")
    write_json(paths.reports() / "summary.json", _summary(grid, results))


def table_entries(table: int, grid: Grid, results: dict[Row, Trained], comparable: bool) -> Iterator[Entry]:
    """The numbers of a table: the paper's rows on the grid's benchmarks, then rows of ours that the paper lacks.

    Args:
        comparable: whether ours were trained as the paper's, so that a difference means something.
    """
    for row in _rows(table, grid):
        printed = published.figures(table, row)
        for task, metric in _columns(row.benchmark):
            values = _ours(row, task, results)
            ours, paper = (mean(values) if values else None), printed.get((task, metric))
            difference = ours - paper if comparable and ours is not None and paper is not None else None
            unit = TASKS[task].unit if task else "%"
            yield Entry(table, *row, task, metric, unit, ours, spread(values), len(values) or None, paper, difference)


def _rows(table: int, grid: Grid) -> list[Row]:
    """Settings in their order, in each the paper's rows in its own order and ours, such as the constant, before them."""
    printed = [row for row in published.rows(table) if row.benchmark in grid.benchmarks]
    networks = {(row.benchmark, row.backbone) for row in printed}
    own = [row_of(grid.cells[key]) for key in grid.extra]
    every = dict.fromkeys([*(row for row in own if (row.benchmark, row.backbone) in networks), *printed])
    order = [*METHODS, *sorted({row.method for row in every} - METHODS.keys())]
    return sorted(every, key=lambda row: (row.benchmark, list(SETTINGS).index(row.setting), order.index(row.method)))


def _columns(benchmark: str) -> list[tuple[str, str]]:
    return [*((task, TASKS[task].metric) for task in benchmark_module(benchmark).TASKS), ("", "delta_m")]


def _ours(row: Row, task: str, results: dict[Row, Trained]) -> list[float]:
    if not task:
        return relative_gains(row, results)
    return [scores[task] for scores in results[row].final] if row in results else []


def _write_csv(entries: list[Entry], paths: Paths, table: int) -> None:
    with replacing(paths.reports() / f"table{table}.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Entry))
        writer.writerows(astuple(entry) for entry in entries)


def _summary(grid: Grid, results: dict[Row, Trained]) -> dict[str, dict[str, float]]:
    """Delta_m of the two diffusion methods in each benchmark and setting that a table has: what `dvc exp show` lists."""
    rows = dict.fromkeys(row_of(cell) for key, cell in grid.cells.items() if key not in grid.extra and cell.method in SUMMARISED)
    gains = {row: relative_gains(row, results) for row in rows if row.backbone == "resnet18"}
    return {"delta_m": {f"{row.benchmark}-{row.setting}-{row.method}": mean(values) for row, values in gains.items() if values}}


def _markdown(table: int, entries: list[Entry], results: dict[Row, Trained], scale: str) -> str:
    lines = [f"# Table {table}, scale {scale}", "", _provenance(scale), ""]
    for benchmark in dict.fromkeys(entry.benchmark for entry in entries):
        lines += [f"## {benchmark.upper()}", "", *_scores([e for e in entries if e.benchmark == benchmark], table), ""]
        lines += _initial_against_final(benchmark, results)
    return "\n".join(lines)


def _provenance(scale: str) -> str:
    if scale == "paper":
        return "Trained at the paper's sizes. Each cell: ours, then the paper's figure in parentheses."
    made = "synthetic scenes" if scale == "demo" else "real images, at a smaller size than the paper's"
    return (
        f"Trained on {made}: **not comparable with the paper's figures**, which stand in parentheses only to show the layout "
        "of its table. A dash is a figure that was not computed or not printed; the full setting and the constant are ours alone."
    )


def _scores(entries: list[Entry], table: int) -> list[str]:
    columns = _columns(entries[0].benchmark)
    cells = {(entry.row, entry.task): entry for entry in entries}
    body = []
    for row in dict.fromkeys(entry.row for entry in entries):
        numbers = [_number(cells[row, task]) for task, _ in columns]
        body.append([SETTINGS[row.setting], METHODS.get(row.method, row.method), *numbers])
        copied = published.figures(table, row, source="[6]")
        if copied:
            figures = [f"(<i>{copied[task, metric]:g}</i>)" if (task, metric) in copied else "–" for task, metric in columns]
            body.append(
                [
                    SETTINGS[row.setting],
                    f"<i>{METHODS.get(row.method, row.method).rstrip('*')} of [6], another network</i>",
                    *figures,
                ]
            )
    return _grid(["# labels", "Method", *(_heading(task) for task, _ in columns)], body)


def _initial_against_final(benchmark: str, results: dict[Row, Trained]) -> list[str]:
    rows = [row for row in results if row.benchmark == benchmark and results[row].initial]
    if not rows:
        return []
    tasks = list(results[rows[0]].final[0])
    body = []
    for row in rows:
        trained = results[row]
        pairs = [
            f"{_format(mean(s[task] for s in trained.initial), task)} → {_format(mean(s[task] for s in trained.final), task)}"
            for task in tasks
        ]
        body.append([SETTINGS[row.setting], METHODS.get(row.method, row.method), *pairs])
    return ["Initial → final predictions:", "", *_grid(["# labels", "Method", *(_heading(task) for task in tasks)], body), ""]


def _heading(task: str) -> str:
    if not task:
        return "Δm % ↑"
    kind = TASKS[task]
    unit = "" if kind.unit == "as stored" else f" {kind.unit}"
    return f"{kind.title}: {kind.metric_title}{unit} {'↓' if kind.lower_is_better else '↑'}"


def _number(entry: Entry) -> str:
    ours = "–" if entry.ours is None else _format(entry.ours, entry.task)
    deviation = "" if entry.sd is None else f" ± {_format(entry.sd, entry.task)}"
    paper = "" if entry.paper is None else f" ({_format(entry.paper, entry.task)})"
    return f"{ours}{deviation}{paper}"


def _format(value: float, task: str) -> str:
    return f"{value:.4f}" if task == "depth" else f"{value:.2f}"


def _grid(header: list[str], body: Iterable[list[str]]) -> list[str]:
    rule = ["---", "---", *("---:" for _ in header[2:])]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *body)]
