"""The page that people read: one HTML file that needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dmtl.benchmarks import benchmark
from dmtl.config import Grid
from dmtl.report.figures import charts
from dmtl.report.layout import Section
from dmtl.report.missing import Gap
from dmtl.report.rendering import render, text_of
from dmtl.report.results import Results, Run
from dmtl.report.steps import StepsCell

if TYPE_CHECKING:
    from dmtl.report.costs import CostReport

TITLES = {  # of the tables; `{}` stands for their benchmarks
    1: "{}: comparison with the state of the art",
    2: "{}, one label an image: ablation, ResNet-18 and ResNet-50",
    3: "{}: comparison with the state of the art",
    4: "{}, one label an image: comparison with refinement methods, and what they cost",
    5: "{} with all labels",
}
VERSIONS = ("dmtl", "torch", "torchvision", "lightning-fabric", "numpy")


@dataclass(frozen=True)
class Content:
    """What the page of a scale shows.

    Attributes:
        tables: number -> its sections.
        steps: the numbers of Fig. 6.
        results: of every row, for Fig. 8.
        runs: every evaluated training.
        missing: what is not shown, and why.
        gallery: HTML of the test images, or nothing.
        claims: HTML of the paper's claims, or nothing.
        costs: what the networks cost at the paper's size, where the project has it.
    """

    grid: Grid
    scale: str
    tables: Mapping[int, list[Section]]
    steps: Sequence[StepsCell]
    results: Results
    runs: Sequence[Run]
    missing: Sequence[Gap]
    gallery: str = ""
    claims: str = ""
    costs: "CostReport | None" = None


def page(content: Content) -> str:
    """The page as HTML."""
    drawn = charts(content.grid, content.steps, content.results, content.runs)
    return render(
        "index.html.j2",
        **vars(content)
        | {
            "style": "".join(text_of(f"{name}.css") for name in ("style", *(["gallery"] if content.gallery else []))),
            "banner": _banner(content.scale),
            "comparable": content.scale == "paper",
            "contents": _contents(content, {chart.id: chart.title for chart in drawn}),
            "tables": [{"number": n, "title": _title(n, parts), "parts": parts} for n, parts in content.tables.items()],
            "charts": drawn,
            "benchmark": benchmark,
            "commands": _commands(content.scale),
            "versions": ", ".join(f"{name} {version(name)}" for name in VERSIONS),
        },
    )


def _title(table: int, parts: Sequence[Section]) -> str:
    return TITLES[table].format(" and ".join(part.title for part in parts))


def _contents(content: Content, drawn: Mapping[str, str]) -> list[dict[str, Any]]:
    """The parts of the page that there are, with the ids that links lead to."""
    titles = {"claims": "Claims"} if content.claims else {}
    titles |= {f"table{number}": f"Table {number}" for number in content.tables}
    titles |= drawn
    titles |= {"costs": "Costs"} if content.costs else {}
    titles |= {"images": "Test images"} if content.gallery else {}
    titles |= {"missing": "What is missing", "made": "What made this page"}
    return [{"id": id_, "title": title} for id_, title in titles.items()]


def _banner(scale: str) -> str:
    if scale == "paper":
        return "Scale paper: the data, sizes and training of the paper. Ours can be compared with the printed figures."
    made = {
        "demo": "small networks trained for seconds on synthetic scenes: a trial of the pipeline, not of the methods",
        "study": "real images at a smaller size than the paper's, on two CPU cores",
    }
    what = made.get(scale, "another size than the paper's")
    return f"Scale {scale}: {what}. Not comparable with the paper's figures, which are shown in grey."


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
