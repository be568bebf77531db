"""The page's charts with the numbers that they show: diffusion steps (Fig. 6), initial and final (Fig. 8), learning curves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

from dmtl.benchmarks import benchmark
from dmtl.config import Grid
from dmtl.report.charts import Image, heat_map, line_charts, paired_bars
from dmtl.report.claims import LEVEL
from dmtl.report.columns import task_column
from dmtl.report.published import Row
from dmtl.report.rendering import without_empty
from dmtl.report.results import Results, Run, main_backbone, shown_setting
from dmtl.report.steps import StepsCell
from dmtl.report.table_cells import SETTING_TITLES

REFINED = "diffusion_prediction"  # whose initial and final predictions Fig. 8 shows
NOTED = {  # what a method notes by epoch and task beside its losses -> title, text
    "kept": ("Pseudo-labels", "Share of the pixels without a label of which the teacher is sure enough, a mean over each epoch"),
}
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
    some = (steps_chart(grid, steps), gradients_chart(grid, runs), refinement_chart(grid, results), ceiling_chart(grid, results))
    return [chart for chart in some if chart] + list(curve_charts(grid, runs)) + list(noted_charts(grid, runs))


def steps_chart(grid: Grid, cells: Sequence[StepsCell]) -> Chart | None:
    """Fig. 6."""
    if not cells:
        return None
    series: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    spans: dict[str, dict[str, list[tuple[float, float] | None]]] = {}
    rows = []
    for cell in cells:
        column, method, title = cell.column, grid.title(cell.method), benchmark(cell.benchmark).title
        several = len({c.setting for c in cells if (c.benchmark, c.method) == (cell.benchmark, cell.method)}) > 1
        name = f"{method}, {title}" + (f", labels: {SETTING_TITLES[cell.setting]}" if several else "")
        ends = None if cell.low is None or cell.high is None else (cell.low, cell.high)
        x, y = series.setdefault(column.heading, {}).setdefault(name, ([], []))
        x.append(cell.steps)
        y.append(cell.ours)
        spans.setdefault(column.heading, {}).setdefault(name, []).append(ends)
        interval = f"{column.form(ends[0])} to {column.form(ends[1])}" if ends else ""
        row = [title, SETTING_TITLES[cell.setting], method, str(cell.steps), column.heading]
        rows.append([*row, column.form(cell.ours), interval])
    over = "test images and seeds" if any(cell.seeds > 1 for cell in cells) else "test images, of one seed each"
    covered = f", with {LEVEL:g} % intervals over {over}" if any(row[-1] for row in rows) else ""
    text = f"Quality and cost of Prediction Diffusion against the number of diffusion steps (the paper's Fig. 6){covered}."
    images = line_charts(series, "diffusion steps", intervals=spans)
    header, rows = without_empty(["Benchmark", "Labels", "Method", "Steps", "Metric", "Value", f"{LEVEL:g} % interval"], rows)
    return Chart("steps", "Diffusion steps", text, images, header, rows)


def gradients_chart(grid: Grid, runs: Sequence[Run]) -> Chart | None:
    """Cosines of the gradients of denoising steps and tasks, of the cells in which stage `gradients` measured them."""
    images, rows = [], []
    for run in runs:
        if not run.step_gradients:
            continue
        cell, tasks = f"{benchmark(run.cell.benchmark).title}, {SETTING_TITLES[run.cell.setting]}", run.step_gradients["tasks"]
        name = f"{cell}, {grid.title(run.cell.method)}"
        for when, title in (("first", "before training"), ("last", "after training")):
            steps, objectives = (run.step_gradients[when][kind] for kind in ("steps", "objectives"))
            numbers = [str(step) for step in range(len(steps))]
            images += [
                heat_map(f"{name}: steps, {title}", steps, numbers),
                heat_map(f"{name}: steps and tasks, {title}", objectives, [f"{task} {n}" for n in numbers for task in tasks]),
            ]
            between = [steps[i][j] for i in range(len(steps)) for j in range(i) if steps[i][j] is not None]
            if between:
                rows.append([name, title, f"{mean(between):.3f}", f"{min(between):.3f}"])
    if not images:
        return None
    text = (
        "Cosines of the gradients of the losses of single denoising steps, on the parameters that tasks share: 1 = they pull "
        "together, below 0 = against each other. Step 0 is the last to run, whose estimate is the prediction."
    )
    header = ["Training", "Weights", "Mean between steps", "Smallest"]
    return Chart("gradients", "Gradients of steps and tasks", text, images, header, rows)


def refinement_chart(grid: Grid, results: Results) -> Chart | None:
    """Fig. 8."""
    bars: dict[str, tuple[float, float]] = {}
    rows = []
    for name in grid.benchmarks:
        data, trained = benchmark(name), results.get(Row(name, shown_setting(grid, name), REFINED, main_backbone(grid)))
        if trained is None or not trained.initial:
            continue
        for task in map(data.task, trained.tasks()):
            initial, final = (mean(seed[task.name] for seed in seeds) for seeds in (trained.initial, trained.final))
            column = task_column(task)
            bars[f"{data.title}\n{task.title}\n{column.heading.partition(': ')[2]}"] = initial, final
            rows.append([data.title, column.heading, column.form(initial), column.form(final)])
    if not bars:
        return None
    text = "Initial against final predictions of Prediction Diffusion on every task, one label an image or as given (Fig. 8)."
    images = paired_bars(bars, ("initial", "final"))
    return Chart("refinement", "Initial against final", text, images, ["Benchmark", "Metric", "Initial", "Final"], rows)


def ceiling_chart(grid: Grid, results: Results) -> Chart | None:
    """What methods that learn latents of labels reached, and what those latents leave of the labels themselves."""
    bars: dict[str, tuple[float, float]] = {}
    rows = []
    for row, trained in results.items():
        if not trained.ceiling:
            continue
        data = benchmark(row.benchmark)
        name = f"{data.title}, {SETTING_TITLES[row.setting]}\n{grid.title(row.method)}"
        for task in map(data.task, trained.tasks()):
            reached, ceiling = (mean(seed[task.name] for seed in seeds) for seeds in (trained.final, trained.ceiling))
            column = task_column(task)
            bars[f"{name}\n{column.heading}"] = reached, ceiling
            rows.append([name.replace("\n", ", "), column.heading, column.form(reached), column.form(ceiling)])
    if not bars:
        return None
    text = (
        "Methods that learn a latent of each label: what they reached, and the ceiling, which is the labels of the test images "
        "themselves coded and decoded. No training gets beyond it."
    )
    images = paired_bars(bars, ("reached", "ceiling"))
    return Chart("ceilings", "Ceilings of latents", text, images, ["Training", "Metric", "Reached", "Ceiling"], rows)


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
        images = line_charts(panels, "epoch", order, log=True)
        header, rows = without_empty(["Labels", "Method", "Network", "First", "Last"], [curve.row for curve in curves])
        yield Chart(f"curves-{name}", f"Learning curves, {title}", text, images, header, rows)


def noted_charts(grid: Grid, runs: Sequence[Run]) -> Iterator[Chart]:
    """What trainings note beside their losses, one chart per benchmark and kind of figure; a line is a task's."""
    lines: dict[tuple[str, str], Lines] = {}
    for run in runs:
        for name in dict.fromkeys(name for epoch in run.history for name in epoch.get("figures", {})):
            kind, _, task = name.partition("/")
            x, y = zip(*((e["epoch"], e["figures"][name]) for e in run.history if name in e.get("figures", {})), strict=True)
            title = benchmark(run.cell.benchmark).task(task).title
            lines.setdefault((run.cell.benchmark, kind), {}).setdefault(_panel(grid, run), {})[title] = x, y
    for (name, kind), panels in lines.items():
        title, text = NOTED[kind]
        rows = [[p, task, f"{y[0]:.3f}", f"{y[-1]:.3f}"] for p, series in panels.items() for task, (_, y) in series.items()]
        images, header = line_charts(panels, "epoch"), ["Training", "Task", "First", "Last"]
        yield Chart(f"{kind}-{name}", f"{title}, {benchmark(name).title}", f"{text}.", images, header, rows)


def _panel(grid: Grid, run: Run) -> str:
    """A training's name in a chart of one benchmark."""
    seed = f", seed {run.cell.seed}" if run.cell.seed else ""
    backbone = "" if run.cell.backbone == main_backbone(grid) else f", {run.cell.backbone}"
    return f"labels: {SETTING_TITLES[run.cell.setting]}, {grid.title(run.cell.method)}{backbone}{seed}"


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
