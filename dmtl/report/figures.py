"""The page's charts with the numbers that they show: diffusion steps (Fig. 6), initial and final (Fig. 8), learning curves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

from dmtl.benchmarks import benchmark
from dmtl.config import Grid
from dmtl.report.charts import Image, line_charts, paired_bars
from dmtl.report.columns import task_column
from dmtl.report.published import Row
from dmtl.report.results import Results, Run, main_backbone
from dmtl.report.steps import StepsCell
from dmtl.report.table_cells import SETTING_TITLES

REFINED = "diffusion_prediction"  # whose initial and final predictions Fig. 8 shows
NO_SHARED_NETWORK = ("constant", "single_task")  # methods that no line of "one network for all tasks" is of

Lines = dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]]  # panel -> series -> (x, y)


@dataclass(frozen=True)
class Chart:
    """A chart and the numbers that it shows."""

    id: str
    title: str
    text: str
    images: Sequence[Image]  # SVGs, kept apart from the page so that the names in them do not collide
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class Curve(NamedTuple):
    """The losses of one network of a training, by epoch."""

    panel: str
    name: str
    epochs: Sequence[int]
    losses: Sequence[float]
    row: Sequence[str]


def charts(grid: Grid, steps: Sequence[StepsCell], results: Results, runs: Sequence[Run]) -> list[Chart]:
    """Every chart that there are numbers for."""
    some = (steps_chart(grid, steps), refinement_chart(grid, results))
    return [chart for chart in some if chart] + list(curve_charts(grid, runs))


def steps_chart(grid: Grid, cells: Sequence[StepsCell]) -> Chart | None:
    """Fig. 6."""
    if not cells:
        return None
    series: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    rows = []
    for cell in cells:
        column, method, title = cell.column, grid.title(cell.method), benchmark(cell.benchmark).title
        x, y = series.setdefault(column.heading, {}).setdefault(f"{method}, {title}", ([], []))
        x.append(cell.steps)
        y.append(cell.ours)
        rows.append([title, method, str(cell.steps), column.heading, column.form(cell.ours)])
    text = "Quality and cost of Prediction Diffusion against the number of diffusion steps (the paper's Fig. 6)."
    images = line_charts(series, "diffusion steps")
    return Chart("steps", "Diffusion steps", text, images, ["Benchmark", "Method", "Steps", "Metric", "Value"], rows)


def refinement_chart(grid: Grid, results: Results) -> Chart | None:
    """Fig. 8."""
    bars: dict[str, tuple[float, float]] = {}
    rows = []
    for name in grid.benchmarks:
        data, trained = benchmark(name), results.get(Row(name, "onelabel", REFINED, main_backbone(grid)))
        if trained is None or not trained.initial:
            continue
        for task in map(data.task, trained.final[0]):
            initial, final = (mean(seed[task.name] for seed in seeds) for seeds in (trained.initial, trained.final))
            column = task_column(task)
            bars[f"{data.title}\n{task.title}\n{column.heading.partition(': ')[2]}"] = initial, final
            rows.append([data.title, column.heading, column.form(initial), column.form(final)])
    if not bars:
        return None
    text = "Initial against final predictions of Prediction Diffusion, one label an image, every task (the paper's Fig. 8)."
    images = paired_bars(bars, ("initial", "final"))
    return Chart("refinement", "Initial against final", text, images, ["Benchmark", "Metric", "Initial", "Final"], rows)


def curve_charts(grid: Grid, runs: Sequence[Run]) -> Iterator[Chart]:
    """Training losses, one chart per benchmark."""
    plain = (main_backbone(grid), False, None, 0)
    shown = [run for run in runs if run.history and (run.cell.backbone, run.cell.scratch, run.cell.steps, run.cell.seed) == plain]
    for name in dict.fromkeys(run.cell.benchmark for run in shown):
        curves = [curve for run in shown if run.cell.benchmark == name for curve in _curves(grid, run)]
        panels: Lines = {}
        for curve in sorted(curves, key=lambda curve: "," in curve.panel):  # single tasks last
            panels.setdefault(curve.panel, {})[curve.name] = curve.epochs, curve.losses
        title = benchmark(name).title
        text = f"Mean training loss of each epoch on {title}, logarithmic; methods sum different terms: compare shapes alone."
        order = [grid.title(method) for method in grid.methods if method not in NO_SHARED_NETWORK]  # look alike in all charts
        images, header = line_charts(panels, "epoch", order, log=True), ["Labels", "Method", "Network", "First", "Last"]
        yield Chart(f"curves-{name}", f"Learning curves, {title}", text, images, header, [curve.row for curve in curves])


def _curves(grid: Grid, run: Run) -> Iterator[Curve]:
    """One for each network of a training: that of all tasks, or those of single tasks."""
    setting, method = SETTING_TITLES[run.cell.setting], grid.title(run.cell.method)
    titles = {task.name: task.title for task in benchmark(run.cell.benchmark).tasks}
    for network in dict.fromkeys(epoch["network"] for epoch in run.history):
        epochs = [epoch for epoch in run.history if epoch["network"] == network]
        losses = [epoch["losses"]["total"] for epoch in epochs]
        name = "" if network == "all" else titles.get(network, network)
        panel = f"labels: {setting}" + (f", {method}" if name else "")
        row = [setting, method, name, f"{losses[0]:.3f}", f"{losses[-1]:.3f}"]
        yield Curve(panel, name or method, [epoch["epoch"] for epoch in epochs], losses, row)
