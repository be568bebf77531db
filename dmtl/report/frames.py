"""Every method on the same few test images, side by side: what the final predictions of one label look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dmtl.benchmarks import benchmark
from dmtl.config import Cell, Grid, Paths
from dmtl.evaluation.gallery import REFERENCE, Gallery, load_gallery
from dmtl.report.gallery import exact, picture_uri
from dmtl.report.rendering import render
from dmtl.report.results import main_backbone, shown_setting
from dmtl.tasks import Task
from dmtl.tasks.shared.kind import IGNORE

COUNT = 6  # images
GAP = 4  # pixels between two


@dataclass(frozen=True)
class Strip:
    """The images' maps of one task side by side, of the labels or of a method."""

    title: str
    uri: str
    alt: str


@dataclass(frozen=True)
class Part:
    """What is shown of a benchmark: its photos, and of each task the labels and every method."""

    title: str
    ids: Sequence[str]
    photos: Strip
    tasks: Sequence[tuple[str, Sequence[Strip]]]


def frames_html(grid: Grid, paths: Paths) -> str:
    """The section of the page; empty where the reference method, whose pictures hold images and labels, was not evaluated."""
    parts = [part for name in grid.benchmarks if (part := _part(grid, paths, name))]
    return render("frames.html.j2", parts=parts) if parts else ""


def _part(grid: Grid, paths: Paths, name: str) -> Part | None:
    galleries = {title: load_gallery(paths.gallery(key)) for title, key in _shown(grid, paths, name).items()}
    reference = next((g for g in galleries.values() if g.about["method"] == REFERENCE), None)
    if reference is None or "label" not in reference.stages():
        return None
    same = {title: gallery for title, gallery in galleries.items() if gallery.ids == reference.ids}
    chosen, shown = fully_labelled(reference), benchmark(name)
    photos = Strip("images", picture_uri(_beside([reference.image(k) for k in chosen]), False), f"Test images of {shown.title}")
    tasks = [shown.task(task) for task in reference.tasks()]
    strips = [(task.title, _strips(task, reference, same, chosen)) for task in tasks]
    return Part(shown.title, [reference.ids[k] for k in chosen], photos, strips)


def _shown(grid: Grid, paths: Paths, name: str) -> dict[str, str]:
    """Title -> the first seed's cell of every method that was evaluated, of the main backbone where there is one."""
    backbone = main_backbone(grid)

    def place(key: str) -> bool:
        return (grid.cells[key].backbone, grid.cells[key].scratch) != (backbone, False)

    def wanted(key: str, cell: Cell) -> bool:
        plain = (cell.benchmark, cell.setting, cell.steps, cell.seed) == (name, shown_setting(grid, name), None, 0)
        return plain and cell.method != "constant" and paths.gallery(key).exists()

    cells: dict[str, str] = {}
    for key in sorted((key for key, cell in grid.cells.items() if wanted(key, cell)), key=place):
        cells.setdefault(grid.cells[key].method, key)
    titles = {m: grid.title(m) + (f", {grid.cells[key].backbone}" if place(key) else "") for m, key in cells.items()}
    return {titles[method]: cells[method] for method in grid.method_order(cells) if method in cells}


def fully_labelled(reference: Gallery, count: int = COUNT) -> list[int]:
    """The positions of `count` of a gallery's images: first those with labels of most tasks, then in their order."""
    kinds = {task: benchmark(reference.about["benchmark"]).task(task).kind for task in reference.tasks()}

    def labelled(k: int) -> int:
        maps = ((kind, reference.map("label", task, k)) for task, kind in kinds.items())
        return sum(bool((values != IGNORE).any() if kind.indexed else np.isfinite(values).any()) for kind, values in maps)

    return sorted(sorted(range(len(reference.ids)), key=lambda k: -labelled(k))[:count])


def _strips(task: Task, reference: Gallery, galleries: Mapping[str, Gallery], chosen: Sequence[int]) -> list[Strip]:
    stages = [("labels", reference, "label"), *((title, gallery, "final") for title, gallery in galleries.items())]
    strips = []
    for title, gallery, stage in stages:
        pictures = _beside([task.kind.picture(task, gallery.map(stage, task.name, k)) for k in chosen])
        strips.append(Strip(title, picture_uri(pictures, exact(task)), f"{task.title}, {title}"))
    return strips


def _beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """`(H, W, 3)` uint8: pictures side by side on white."""
    height, gap = max(len(p) for p in pictures), np.full((1, GAP, 3), 255, np.uint8)
    padded = [np.pad(p, ((0, height - len(p)), (0, 0), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate([part for p in padded for part in (np.broadcast_to(gap, (height, GAP, 3)), p)][1:], axis=1)
