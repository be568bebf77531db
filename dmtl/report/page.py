"""The page that people read: one HTML file that needs no network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from statistics import mean

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from dmtl.report.charts import Image, line_charts, paired_bars
from dmtl.report.costs import CostReport
from dmtl.report.entries import METHODS, SETTINGS, StepEntry
from dmtl.report.layout import Section, benchmark_title, form, heading
from dmtl.report.missing import Gap
from dmtl.report.published import Row
from dmtl.report.results import Results, Run
from dmtl.tasks import TASKS

TITLES = {
    1: "Cityscapes: comparison with the state of the art",
    2: "PASCAL, one label an image: ablation, ResNet-18 and ResNet-50",
    3: "PASCAL and NYUD: comparison with the state of the art",
    4: "PASCAL, one label an image: comparison with refinement methods, and what they cost",
    5: "PASCAL with all labels",
}
VERSIONS = ("dmtl", "torch", "torchvision", "lightning-fabric", "numpy")
REFINED = "diffusion_prediction"  # whose initial and final predictions Fig. 8 shows
ONE_NETWORK = [METHODS[method] for method in METHODS if method not in ("constant", "single_task")]  # look alike in all charts


@dataclass(frozen=True)
class Chart:
    """A chart and the numbers that it shows."""

    id: str
    title: str
    text: str
    images: Sequence[Image]  # SVGs, kept apart from the page so that the names in them do not collide
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def page(
    scale: str,
    tables: Mapping[int, list[Section]],
    steps: Sequence[StepEntry],
    results: Results,
    runs: Sequence[Run],
    gallery: str,
    backbone: str,
    claims: str,
    costs: CostReport | None,
    missing: Sequence[Gap],
) -> str:
    """The page of a scale as HTML.

    Args:
        tables: number -> its sections.
        steps: the numbers of Fig. 6.
        results: of every row, for Fig. 8.
        runs: every evaluated training.
        gallery: HTML of the test images, or nothing.
        backbone: whose trainings the charts show.
        claims: HTML of the paper's claims, or nothing.
        costs: what the networks cost at the paper's size, where the project has it.
        missing: what is not shown, and why.
    """
    charts = [chart for chart in (_steps(steps), _refinement(results, backbone), *_curves(runs, backbone)) if chart]
    listed = [{"number": n, "title": TITLES[n], "parts": list(map(_part, parts))} for n, parts in tables.items()]
    contents = [{"id": f"table{n}", "title": f"Table {n}"} for n in tables]
    contents += [{"id": chart.id, "title": chart.title} for chart in charts]
    contents = ([{"id": "claims", "title": "Claims"}] if claims else []) + contents
    contents += [{"id": "costs", "title": "Costs"}] if costs else []
    contents += [{"id": "images", "title": "Test images"}] if gallery else []
    environment = Environment(
        loader=PackageLoader("dmtl.report"), autoescape=select_autoescape(["j2"]), undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("index.html.j2").render(
        scale=scale,
        style="".join(_template(f"{name}.css") for name in ("style", *(["gallery"] if gallery else []))),
        banner=_banner(scale),
        comparable=scale == "paper",
        contents=[*contents, {"id": "missing", "title": "What is missing"}, {"id": "made", "title": "What made this page"}],
        tables=listed,
        charts=charts,
        gallery=gallery,
        claims=claims,
        costs=costs,
        methods=METHODS,
        benchmark_title=benchmark_title,
        missing=missing,
        commands=_commands(scale),
        versions=", ".join(f"{name} {version(name)}" for name in VERSIONS),
        runs=runs,
    )


def _template(name: str) -> str:
    return files("dmtl.report").joinpath("templates", name).read_text(encoding="utf-8")


def _banner(scale: str) -> str:
    if scale == "paper":
        return "Scale paper: the data, sizes and training of the paper. Ours can be compared with the printed figures."
    made = {
        "demo": "small networks trained for seconds on synthetic scenes: a trial of the pipeline, not of the methods",
        "study": "real NYUv2 images at a smaller size than the paper's, on two CPU cores",
    }
    what = made.get(scale, "another size than the paper's")
    return f"Scale {scale}: {what}. Not comparable with the paper's figures, which are shown in grey."


def _part(section: Section) -> dict[str, object]:
    return {
        "title": benchmark_title(section.benchmark),
        "benchmark": section.benchmark,
        "backbones": section.backbones,
        "headings": section.headings,
        "lines": section.lines,
        "spread": any(number.sd is not None for line in section.lines for number in line.numbers),
    }


def _commands(scale: str) -> list[tuple[str, str]]:
    """What is run, and what that makes."""
    if scale == "study":
        whole, stage = "dvc repro study/dvc.yaml", "dvc repro {} study/dvc.yaml:{}"
    else:
        run = "dvc repro" if scale == "demo" else f"dvc exp run -S scale={scale}"
        whole, stage = run, f"{run} {{}} {{}}"
    return [
        (whole, "everything"),
        (" ".join(stage.format("", "evaluate@CELL").split()), "one cell of those listed below, with what it needs"),
        (" ".join(stage.format("--single-item", "report").split()), "this page and the tables, from the results that are there"),
    ]


def _steps(entries: Sequence[StepEntry]) -> Chart | None:
    """Fig. 6."""
    if not entries:
        return None
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for e in entries:
        name = f"{METHODS[e.method]}, {benchmark_title(e.benchmark)}"
        x, y = panels.setdefault(heading((e.task, e.metric)), {}).setdefault(name, ([], []))
        x.append(e.steps)
        y.append(e.ours)
    rows = []
    for e in entries:
        column = e.task, e.metric
        rows.append([benchmark_title(e.benchmark), METHODS[e.method], str(e.steps), heading(column), form(e.ours, column)])
    text = "Quality and cost of Prediction Diffusion against the number of diffusion steps (the paper's Fig. 6)."
    images = line_charts(panels, "diffusion steps")
    return Chart("steps", "Diffusion steps", text, images, ["Benchmark", "Method", "Steps", "Metric", "Value"], rows)


def _refinement(results: Results, backbone: str) -> Chart | None:
    """Fig. 8."""
    panels: dict[str, tuple[float, float]] = {}
    rows = []
    for benchmark in ("pascal", "nyud", "cityscapes"):
        trained = results.get(Row(benchmark, "onelabel", REFINED, backbone))
        if trained is None or not trained.initial:
            continue
        for task in trained.final[0]:
            column = task, TASKS[task].metric
            initial, final = (mean(seed[task] for seed in seeds) for seeds in (trained.initial, trained.final))
            title = f"{benchmark_title(benchmark)}\n{TASKS[task].title}\n{heading(column).partition(': ')[2]}"
            panels[title] = initial, final
            rows.append([benchmark_title(benchmark), heading(column), form(initial, column), form(final, column)])
    if not panels:
        return None
    text = "Initial against final predictions of Prediction Diffusion, one label an image, every task (the paper's Fig. 8)."
    images = paired_bars(panels, ("initial", "final"))
    return Chart("refinement", "Initial against final", text, images, ["Benchmark", "Metric", "Initial", "Final"], rows)


def _curves(runs: Sequence[Run], backbone: str) -> Iterator[Chart]:
    """Training losses, a chart a benchmark."""
    plain = (backbone, False, None, 0)
    shown = [run for run in runs if run.history and (run.cell.backbone, run.cell.scratch, run.cell.steps, run.cell.seed) == plain]
    for benchmark in dict.fromkeys(run.cell.benchmark for run in shown):
        panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
        rows = []
        for run in shown:
            if run.cell.benchmark != benchmark:
                continue
            for network in dict.fromkeys(epoch["network"] for epoch in run.history):
                epochs = [epoch for epoch in run.history if epoch["network"] == network]
                losses = [epoch["losses"]["total"] for epoch in epochs]
                setting, title = SETTINGS[run.cell.setting], METHODS[run.cell.method]
                name = title if network == "all" else TASKS[network].title if network in TASKS else network
                panel = f"labels: {setting}" + ("" if network == "all" else f", {title}")
                panels.setdefault(panel, {})[name] = [epoch["epoch"] for epoch in epochs], losses
                rows.append([setting, title, "" if network == "all" else name, f"{losses[0]:.3f}", f"{losses[-1]:.3f}"])
        if panels:
            name = benchmark_title(benchmark)
            text = f"Mean training loss of each epoch on {name}, logarithmic; methods sum different terms: compare shapes alone."
            ordered = {panel: panels[panel] for panel in sorted(panels, key=lambda panel: "," in panel)}  # single tasks last
            images = line_charts(ordered, "epoch", ONE_NETWORK, log=True)
            header = ["Labels", "Method", "Network", "First", "Last"]
            yield Chart(f"curves-{benchmark}", f"Learning curves, {name}", text, images, header, rows)
