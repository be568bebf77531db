"""The drill-down of the page: test images with labels, initial, noisy and final predictions and errors, and their scores.

Only cells with one label an image, the grid's main backbone and the first seed are shown, so that pictures side by side differ
by the method alone.
"""

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from PIL import Image

from dmtl.config import Grid, Paths
from dmtl.evaluation.gallery import REFERENCE, Gallery, load_gallery
from dmtl.evaluation.maps import error, kind
from dmtl.metrics.per_image import PerImage
from dmtl.pictures import Legend, error_legend, error_picture, legend, picture
from dmtl.report.layout import benchmark_title
from dmtl.report.results import main_backbone
from dmtl.tasks import TASKS

METHODS = (REFERENCE, "xtc", "diffusion_prediction")  # shown, in this order
SETTING = "onelabel"
STAGES = ("initial", "noisy", "final")  # of predictions, in the slider's order after the label
LOSSY = 82  # quality of photos and normals, whose exact values nobody reads off

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # stage -> image id -> task -> the task's headline metric


def image_scores(statistics: PerImage, ids: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """The headline metric of each image by itself; NaN where nothing in it counts."""
    place = {str(statistics.ids[k]): row for row, k in enumerate(statistics.index)}
    rows = [place[name] for name in ids]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for stage, tables in statistics.tables.items():
        of_images = found.setdefault(stage, {name: {} for name in ids})
        for task, metric in statistics.metrics().items():
            values = metric.scores(tables[task][rows])[TASKS[task].metric]
            for name, value in zip(ids, values.tolist(), strict=True):
                of_images[name][task] = value
    return found


def load_galleries(grid: Grid, paths: Paths) -> list[Gallery]:
    """The galleries that are there of the cells to be shown, by benchmark and method; the reference method's first."""
    backbone = main_backbone(grid)
    shown = {
        (cell.benchmark, cell.method): key
        for key, cell in grid.cells.items()
        if (cell.setting, cell.backbone, cell.scratch, cell.steps, cell.seed) == (SETTING, backbone, False, None, 0)
    }
    keys = [shown.get((benchmark, method)) for benchmark in grid.benchmarks for method in METHODS]
    return [load_gallery(paths.gallery(key)) for key in keys if key and paths.gallery(key).exists()]


@dataclass(frozen=True)
class Picture:
    """An image of the page."""

    uri: str
    alt: str
    stage: str


@dataclass(frozen=True)
class Panel:
    """One method's pictures of one task and image: the stages that the slider goes through, and the error of the last."""

    title: str
    stack: list[Picture]
    error: Picture


@dataclass(frozen=True)
class Strip:
    """One task of one image."""

    title: str
    label: Picture
    panels: list[Panel]


@dataclass(frozen=True)
class Shown:
    """One test image."""

    id: str
    name: str
    photo: Picture
    strips: list[Strip]


@dataclass(frozen=True)
class ScoreRow:
    """The scores of one image and task: a number a column, NaN where there is none."""

    id: str
    name: str
    task: str
    title: str
    lower_is_better: bool
    values: list[float]
    texts: list[str]
    difference: str


@dataclass(frozen=True)
class Part:
    """The gallery of one benchmark."""

    benchmark: str
    methods: list[str]
    stops: list[str]
    images: list[Shown]
    legends: list[tuple[Legend, Legend]]
    columns: list[str]
    first: int
    second: int
    rows: list[ScoreRow]


def gallery_html(galleries: Sequence[Gallery], scores: Mapping[str, Scores], titles: Mapping[str, str], backbone: str) -> str:
    """The section of the page, with its script; empty where there is nothing to show. Its style, gallery.css, goes into the head.

    Args:
        galleries: of the cells to be shown (`load_galleries`); a benchmark whose reference method is not among them has no labels
            and is left out.
        scores: cell -> `image_scores` of it, where there are any.
        titles: method -> its name for people.
        backbone: of the cells that are shown.
    """
    parts = list(_parts(galleries, scores, titles))
    if not parts:
        return ""
    environment = Environment(
        loader=PackageLoader("dmtl.report"), autoescape=select_autoescape(["j2"]), undefined=StrictUndefined, trim_blocks=True
    )
    script = files("dmtl.report").joinpath("templates/gallery.js").read_text(encoding="utf-8")
    return environment.get_template("gallery.html.j2").render(
        parts=parts, backbone=backbone, benchmark_title=benchmark_title, script=script
    )


def _parts(galleries: Sequence[Gallery], scores: Mapping[str, Scores], titles: Mapping[str, str]) -> Iterator[Part]:
    for benchmark in dict.fromkeys(gallery.about["benchmark"] for gallery in galleries):
        own = [gallery for gallery in galleries if gallery.about["benchmark"] == benchmark]
        reference = next((gallery for gallery in own if "label" in gallery.stages()), None)
        if reference is None:
            continue
        own = [gallery for gallery in own if gallery.ids == reference.ids]
        columns = _columns(own, scores, titles)
        second = len(columns) - 1
        rows = list(_rows(reference, [values for _, values in columns], 0, second)) if len(columns) > 1 else []
        yield Part(
            benchmark=benchmark,
            methods=[titles[gallery.about["method"]] for gallery in own],
            stops=["label", *(stage for stage in STAGES if any(stage in gallery.stages() for gallery in own))],
            images=[_shown(reference, own, k, titles) for k in range(len(reference.ids))],
            legends=[(legend(benchmark, task), error_legend(benchmark, task)) for task in reference.tasks()],
            columns=[title for title, _ in columns],
            first=0,
            second=second,
            rows=rows,
        )


def _shown(reference: Gallery, galleries: Sequence[Gallery], k: int, titles: Mapping[str, str]) -> Shown:
    benchmark, name = reference.about["benchmark"], reference.ids[k]
    strips = []
    for task in reference.tasks():
        what, lossless = TASKS[task].title.lower(), kind(task) != "normals"
        truth = reference.map("label", task, k)
        label = Picture(_uri(picture(benchmark, task, truth), lossless), f"Label, {what}, image {name}", "label")
        panels = []
        for gallery in galleries:
            title = titles[gallery.about["method"]]
            stack = [
                Picture(_uri(picture(benchmark, task, gallery.map(stage, task, k)), lossless), f"{title}, {stage} {what}", stage)
                for stage in STAGES
                if stage in gallery.stages()
            ]
            wrong = error_picture(benchmark, task, error(task, gallery.map("final", task, k), truth))
            panels.append(Panel(title, stack, Picture(_uri(wrong, True), f"{title}, error of final {what}", "error")))
        strips.append(Strip(TASKS[task].title, label, panels))
    photo = Picture(_uri(reference.image(k), False), f"Test image {name} of {benchmark}", "image")
    return Shown(_anchor(benchmark, name), name, photo, strips)


def _anchor(benchmark: str, name: str) -> str:
    return f"image-{benchmark}-{''.join(c if c.isalnum() else '-' for c in name)}"


def _uri(pixels: np.ndarray, lossless: bool) -> str:
    """A picture as a data URI: WebP, half the size of a PNG, and every browser knows it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "webp", lossless=lossless, quality=100 if lossless else LOSSY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


Column = tuple[str, Mapping[str, Mapping[str, float]]]  # its title; image id -> task -> value


def _columns(galleries: Sequence[Gallery], scores: Mapping[str, Scores], titles: Mapping[str, str]) -> list[Column]:
    """A column for each method, and one more for initial predictions before the final ones."""
    columns: list[Column] = []
    for gallery in galleries:
        found, title = scores.get(gallery.about["cell"], {}), titles[gallery.about["method"]]
        for stage in ("initial", "final"):
            if stage in found:
                columns.append((f"{title}, initial" if stage == "initial" else title, found[stage]))
    return columns


def _rows(
    reference: Gallery, columns: Sequence[Mapping[str, Mapping[str, float]]], first: int, second: int
) -> Iterator[ScoreRow]:
    for name in reference.ids:
        for task in reference.tasks():
            about = TASKS[task]
            values = [column[name].get(task, math.nan) for column in columns]
            places = 4 if kind(task) == "depth" else 2
            yield ScoreRow(
                id=_anchor(reference.about["benchmark"], name),
                name=name,
                task=task,
                title=f"{about.title}, {about.metric_title} {'↓' if about.lower_is_better else '↑'}",
                lower_is_better=about.lower_is_better,
                values=values,
                texts=["–" if math.isnan(value) else f"{value:.{places}f}" for value in values],
                difference=_signed(relative_difference(values[first], values[second], about.lower_is_better)),
            )


def relative_difference(first: float, second: float, lower_is_better: bool) -> float:
    """By how many % of their mean the second value is better than the first: -200 to 200, so that tasks can be compared."""
    middle = (abs(first) + abs(second)) / 2
    gain = first - second if lower_is_better else second - first
    return 100 * gain / middle if middle else gain


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.1f}"
