"""The drill-down of the page: test images with labels, initial, noisy and final predictions and errors, and their scores.

Only cells of one setting, the grid's main backbone and the first seed are shown, so that pictures side by side differ by the
method alone.
"""

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dmtl.benchmarks import benchmark
from dmtl.config import Grid, Paths
from dmtl.evaluation.gallery import REFERENCE, Gallery, load_gallery
from dmtl.metrics.per_image import PerImage
from dmtl.pictures.colours import Legend
from dmtl.report.rendering import render, text_of
from dmtl.report.results import main_backbone, shown_setting
from dmtl.tasks import Task

METHODS = (REFERENCE, "xtc", "diffusion_prediction")  # shown, in this order
STAGES = ("initial", "noisy", "final")  # of predictions, in the slider's order after the label
LOSSY = 82  # quality of photos and normals, whose exact values nobody reads off

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # stage -> image id -> task -> the task's headline metric


def image_scores(statistics: PerImage, ids: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """The headline metric of each image by itself; NaN where nothing in it counts."""
    place = {str(statistics.ids[k]): row for row, k in enumerate(statistics.index)}
    rows = [place[name] for name in ids]
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for stage, tables in statistics.tables.items():
        scores[stage] = {name: {} for name in ids}
        for task, metric in statistics.metrics().items():
            headline = next(iter(metric.scores(tables[task][rows]).values()))
            for name, value in zip(ids, headline.tolist(), strict=True):
                scores[stage][name][task] = value
    return scores


def load_galleries(grid: Grid, paths: Paths) -> list[Gallery]:
    """The galleries that are there of the cells to be shown, by benchmark and method; the reference method's first."""
    backbone = main_backbone(grid)
    shown = {
        (cell.benchmark, cell.method): key
        for key, cell in grid.cells.items()
        if (cell.backbone, cell.scratch, cell.steps, cell.seed) == (backbone, False, None, 0)
        and cell.setting == shown_setting(grid, cell.benchmark)
    }
    keys = [shown.get((name, method)) for name in grid.benchmarks for method in METHODS]
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
    """The gallery of one benchmark; `first` and `second` are the columns of scores that are compared at the start."""

    benchmark: str
    title: str
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
        titles: method -> its name for people; another shows its plain name.
        backbone: of the cells that are shown.
    """
    parts = []
    for name in dict.fromkeys(gallery.about["benchmark"] for gallery in galleries):
        several = [gallery for gallery in galleries if gallery.about["benchmark"] == name]
        reference = next((gallery for gallery in several if "label" in gallery.stages()), None)
        if reference is not None:
            parts.append(_part(reference, [gallery for gallery in several if gallery.ids == reference.ids], scores, titles))
    return render("gallery.html.j2", parts=parts, backbone=backbone, script=text_of("gallery.js")) if parts else ""


def _part(reference: Gallery, galleries: Sequence[Gallery], scores: Mapping[str, Scores], titles: Mapping[str, str]) -> Part:
    """What is shown of a benchmark: `reference` holds its images and labels."""
    shown = benchmark(reference.about["benchmark"])
    tasks = [shown.task(name) for name in reference.tasks()]
    columns = _columns(galleries, scores, titles)
    second = len(columns) - 1
    return Part(
        benchmark=shown.name,
        title=shown.title,
        stops=["label", *(stage for stage in STAGES if any(stage in gallery.stages() for gallery in galleries))],
        images=[_shown(reference, galleries, k, tasks, titles) for k in range(len(reference.ids))],
        legends=[(task.kind.legend(task), task.kind.error_legend(task)) for task in tasks],
        columns=[title for title, _ in columns],
        first=0,
        second=second,
        rows=list(_rows(reference, tasks, [values for _, values in columns], 0, second)) if second > 0 else [],
    )


def _title(gallery: Gallery, titles: Mapping[str, str]) -> str:
    method = gallery.about["method"]
    return titles.get(method, method)


def _shown(reference: Gallery, galleries: Sequence[Gallery], k: int, tasks: Sequence[Task], titles: Mapping[str, str]) -> Shown:
    """Image number `k` with every task."""
    about, name = reference.about["benchmark"], reference.ids[k]
    strips = []
    for task in tasks:
        truth, what = reference.map("label", task.name, k), task.title.lower()
        label = Picture(task_uri(task, truth), f"Label, {what}, image {name}", "label")
        strips.append(Strip(task.title, label, [_panel(_title(g, titles), g, task, k, truth) for g in galleries]))
    photo = Picture(picture_uri(reference.image(k), False), f"Test image {name} of {about}", "image")
    return Shown(_anchor(about, name), name, photo, strips)


def _panel(title: str, gallery: Gallery, task: Task, k: int, truth: np.ndarray) -> Panel:
    """What one method makes of one task of image number `k`, whose label map is `truth`."""
    what = task.title.lower()
    stages = [stage for stage in STAGES if stage in gallery.stages()]
    maps = {stage: gallery.map(stage, task.name, k) for stage in stages}
    stack = [Picture(task_uri(task, values), f"{title}, {stage} {what}", stage) for stage, values in maps.items()]
    wrong = task.kind.error_picture(task, task.kind.error(maps["final"], truth))
    return Panel(title, stack, Picture(picture_uri(wrong, True), f"{title}, error of final {what}", "error"))


def _anchor(benchmark_name: str, image: str) -> str:
    return f"image-{benchmark_name}-{''.join(c if c.isalnum() else '-' for c in image)}"


def task_uri(task: Task, values: np.ndarray) -> str:
    """A map's picture."""
    return picture_uri(task.kind.picture(task, values), exact(task))


def exact(task: Task) -> bool:
    """Whether a task's pictures are kept without loss: where colours are those of classes or of a scale, which are read off."""
    return task.kind.indexed or bool(task.kind.legend(task).stops)


def picture_uri(pixels: np.ndarray, lossless: bool) -> str:
    """A picture as a data URI: WebP, half the size of a PNG, and every browser knows it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "webp", lossless=lossless, quality=100 if lossless else LOSSY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


Column = tuple[str, Mapping[str, Mapping[str, float]]]  # its title; image id -> task -> value


def _columns(galleries: Sequence[Gallery], scores: Mapping[str, Scores], titles: Mapping[str, str]) -> list[Column]:
    """A column for each method, and one more for initial predictions before the final ones."""
    columns: list[Column] = []
    for gallery in galleries:
        stages, title = scores.get(gallery.about["cell"], {}), _title(gallery, titles)
        for stage in ("initial", "final"):
            if stage in stages:
                columns.append((f"{title}, initial" if stage == "initial" else title, stages[stage]))
    return columns


def _rows(
    reference: Gallery, tasks: Sequence[Task], columns: Sequence[Mapping[str, Mapping[str, float]]], first: int, second: int
) -> Iterator[ScoreRow]:
    for name in reference.ids:
        for task in tasks:
            kind = task.kind
            values = [column[name].get(task.name, math.nan) for column in columns]
            yield ScoreRow(
                id=_anchor(reference.about["benchmark"], name),
                name=name,
                task=task.name,
                title=f"{task.title}, {kind.metric_title} {'↓' if kind.lower_is_better else '↑'}",
                lower_is_better=kind.lower_is_better,
                values=values,
                texts=["–" if math.isnan(value) else f"{value:.{kind.decimals}f}" for value in values],
                difference=_signed(relative_difference(values[first], values[second], kind.lower_is_better)),
            )


def relative_difference(first: float, second: float, lower_is_better: bool) -> float:
    """By how many % of their mean the second value is better than the first: -200 to 200, so that tasks can be compared."""
    middle = (abs(first) + abs(second)) / 2
    gain = first - second if lower_is_better else second - first
    return 100 * gain / middle if middle else gain


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.1f}"
