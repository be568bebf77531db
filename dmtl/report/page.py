"""The page that people read: one HTML file that needs no network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from statistics import mean

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from dmtl.report.charts import line_charts, paired_bars
from dmtl.report.entries import METHODS, SETTINGS, StepEntry
from dmtl.report.layout import Section, form, heading
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


@dataclass(frozen=True)
class Chart:
    """A chart and the numbers that it shows."""

    id: str
    title: str
    text: str
    uri: str  # of an SVG, kept apart from the page so that the names in it do not collide
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
    """
    charts = [chart for chart in (_steps(steps), _refinement(results, backbone), *_curves(runs, backbone)) if chart]
    listed = [{"number": n, "title": TITLES[n], "parts": list(map(_part, parts))} for n, parts in tables.items()]
    contents = [{"id": f"table{n}", "title": f"Table {n}"} for n in tables]
    contents += [{"id": chart.id, "title": chart.title} for chart in charts]
    contents = ([{"id": "claims", "title": "Claims"}] if claims else []) + contents
    contents += [{"id": "images", "title": "Test images"}] if gallery else []
    environment = Environment(
        loader=PackageLoader("dmtl.report"), autoescape=select_autoescape(["j2"]), undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("index.html.j2").render(
        scale=scale,
        style=files("dmtl.report").joinpath("templates/style.css").read_text(encoding="utf-8"),
        banner=_banner(scale),
        comparable=scale == "paper",
        contents=[*contents, {"id": "missing", "title": "What is missing"}, {"id": "made", "title": "What made this page"}],
        tables=listed,
        charts=charts,
        gallery=gallery,
        claims=claims,
        missing=list(_missing(tables)),
        commands=_commands(scale),
        versions=", ".join(f"{name} {version(name)}" for name in VERSIONS),
        runs=runs,
    )


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
        "title": section.benchmark.upper() if section.benchmark != "cityscapes" else "Cityscapes",
        "benchmark": section.benchmark,
        "backbones": section.backbones,
        "headings": section.headings,
        "lines": section.lines,
    }


def _missing(tables: Mapping[int, list[Section]]) -> Iterator[str]:
    for table, parts in tables.items():
        for section in parts:
            lines = [
                line for line in section.lines if not line.copied and all(n.ours is None for n in line.numbers if n.column[0])
            ]
            for line in lines:
                yield f"Table {table}, {section.benchmark}, {line.setting}, {line.backbone}, {line.method}: not run."
            if any(column[1] == "train_memory_mb" for column in section.columns):
                yield f"Table {table}: training memory of ours is measured on a GPU only, and none was used."


def _commands(scale: str) -> list[str]:
    if scale == "study":
        return ["dvc repro study/dvc.yaml"]
    return ["dvc repro" if scale == "demo" else f"dvc exp run -S scale={scale}"]


def _steps(entries: Sequence[StepEntry]) -> Chart | None:
    """Fig. 6."""
    if not entries:
        return None
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for e in entries:
        name = f"{METHODS[e.method]}, {e.benchmark}"
        x, y = panels.setdefault(heading((e.task, e.metric)), {}).setdefault(name, ([], []))
        x.append(e.steps)
        y.append(e.ours)
    rows = [
        [e.benchmark, METHODS[e.method], str(e.steps), heading((e.task, e.metric)), form(e.ours, (e.task, e.metric))]
        for e in entries
    ]
    text = "Quality and cost of Prediction Diffusion against the number of diffusion steps (the paper's Fig. 6)."
    uri = line_charts(panels, "diffusion steps")
    return Chart("steps", "Diffusion steps", text, uri, ["Benchmark", "Method", "Steps", "Metric", "Value"], rows)


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
            panels[f"{benchmark}, {TASKS[task].title.lower()}\n{heading(column).partition(': ')[2]}"] = initial, final
            rows.append([benchmark, heading(column), form(initial, column), form(final, column)])
    if not panels:
        return None
    text = "Initial against final predictions of Prediction Diffusion, one label an image, every task (the paper's Fig. 8)."
    uri = paired_bars(panels, ("initial", "final"))
    return Chart("refinement", "Initial against final", text, uri, ["Benchmark", "Metric", "Initial", "Final"], rows)


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
                title = METHODS[run.cell.method] + ("" if network == "all" else f" ({network})")
                panels.setdefault(SETTINGS[run.cell.setting], {})[title] = [epoch["epoch"] for epoch in epochs], losses
                rows.append([SETTINGS[run.cell.setting], title, f"{losses[0]:.3f}", f"{losses[-1]:.3f}"])
        if panels:
            text = f"Mean training loss of each epoch on {benchmark}, a panel a label setting; methods sum different terms."
            uri = line_charts(panels, "epoch")
            yield Chart(
                f"curves-{benchmark}", f"Learning curves, {benchmark}", text, uri, ["Labels", "Method", "First", "Last"], rows
            )
