"""The page that people read: one HTML file that needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dmtl.benchmarks import benchmark
from dmtl.config import Grid
from dmtl.report.figures import charts
from dmtl.report.layout import Section, file_of
from dmtl.report.missing import Gap
from dmtl.report.rendering import render, text_of
from dmtl.report.results import Results, Run
from dmtl.report.steps import StepsCell
from dmtl.report.table_cells import BEYOND, OWN

if TYPE_CHECKING:
    from dmtl.report.costs import CostReport

TITLES = {  # of the tables; `{}` stands for their benchmarks
    1: "{}: comparison with the state of the art",
    2: "{}, one label an image: ablation, ResNet-18 and ResNet-50",
    3: "{}: comparison with the state of the art",
    4: "{}, one label an image: comparison with refinement methods, and what they cost",
    5: "{} with all labels",
    OWN: "{}",
    BEYOND: "Beyond the paper: {} with partial labels, every method, and what other papers print",
}
_REPOSITORY = {"demo": "../../", "paper": "../../", "study": "../../../"}  # from a page's folder; one's own lies anywhere
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
        frames: HTML of every method on the same few test images, or nothing.
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
    frames: str = ""


def page(content: Content) -> str:
    """The page as HTML."""
    drawn = charts(content.grid, content.steps, content.results, content.runs)
    return render(
        "index.html.j2",
        **vars(content)
        | {
            "style": "".join(text_of(f"{name}.css") for name in ("style", *(["gallery"] if content.gallery else []))),
            "banner": _banner(content.scale),
            "headline": "scores on images of one's own" if [*content.tables] == [OWN] else f"the tables at scale {content.scale}",
            "comparable": content.scale == "paper",
            "contents": _contents(content, {chart.id: chart.title for chart in drawn}),
            "tables": [_table(number, parts) for number, parts in content.tables.items()],
            "caption": _caption,
            "pictures_first": content.scale == "study",
            "charts": drawn,
            "benchmark": benchmark,
            "repository": _REPOSITORY.get(content.scale, ""),
            "commands": _commands(content.scale),
            "versions": ", ".join(f"{name} {version(name)}" for name in VERSIONS),
        },
    )


def _table(number: int, parts: Sequence[Section]) -> dict[str, Any]:
    title = TITLES[number].format(" and ".join(part.title for part in parts))
    name = "Scores" if number == OWN else f"Table {number}"
    return {"number": number, "id": file_of(number), "name": name, "title": title, "parts": parts}


def _caption(table: int, part: Section, comparable: bool) -> str:
    """What the fields of a table hold: no more than is there."""
    ours = "Ours (mean ± standard deviation over seeds)" if part.spread else "Ours"
    if table == BEYOND:
        printed = "; in grey italics what other papers print, with its backbone and source, not comparable"
    elif not part.printed:
        printed = ""
    elif comparable:
        printed = ", below it the difference from the paper (▲ better, ▼ worse) and the paper's figure in grey"
    else:
        printed = ", below it the paper's figure in grey, not comparable"
    equal = "equal labels and backbone" if len(part.backbones) > 1 else "equal labels"
    best = f"; in bold the best of ours with {equal}" if part.bold else ""
    return f"{part.title}. {ours}{printed}{best}."


def _contents(content: Content, drawn: Mapping[str, str]) -> list[dict[str, Any]]:
    """The parts of the page that there are, with the ids that links lead to."""
    pictures = {"images": "Test images"} if content.gallery else {}
    titles = {"claims": "Claims"} if content.claims else {}
    titles |= {"frames": "Every method in pictures"} if content.frames else {}
    titles |= pictures if content.scale == "study" else {}
    titles |= {file_of(number): "Scores" if number == OWN else f"Table {number}" for number in content.tables}
    titles |= drawn
    titles |= {"costs": "Costs"} if content.costs else {}
    titles |= pictures
    titles |= {"missing": "What is missing", "made": "What made this page"}
    return [{"id": id_, "title": title} for id_, title in titles.items()]


def _banner(scale: str) -> str:
    if scale == "paper":
        return "Scale paper: the data, sizes and training of the paper. Ours can be compared with the printed figures."
    if scale == "own":
        return "Networks trained on images of one's own: what is scored is said below each table."
    made = {
        "demo": "small networks trained for seconds on synthetic scenes: a trial of the pipeline, not of the methods",
        "study": "real images at a smaller size than the paper's, on two CPU cores",
    }
    what = made.get(scale, "another size than the paper's")
    return f"Scale {scale}: {what}. Not comparable with the paper's figures, which are shown in grey."


def _commands(scale: str) -> list[tuple[str, str]]:
    """What is run, and what that makes."""
    run = f"dvc exp run -S scale={scale}" if scale == "paper" else "dvc repro"
    return [
        (run, "everything"),
        (f"{run} evaluate@CELL", "one cell of those listed below, with what it needs"),
        (f"{run} --single-item report", "this page and the tables, from the results that are there"),
    ]
