"""One picture of an image and all its predictions, with legends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dmtl.pictures.colours import Legend
from dmtl.tasks import Task

THUMBNAIL = 320  # pixels, the longer side
GAP, LINE = 12, 18
SWATCH = 12
FONT = ImageFont.load_default(13)


@dataclass(frozen=True)
class _Cell:
    """A thumbnail with what is written above and the legend below it."""

    title: str
    thumbnail: Image.Image
    legend: Legend | None = None


def contact_sheet(
    tasks: Sequence[Task],
    title: str,
    image: np.ndarray,
    maps: Mapping[str, Mapping[str, np.ndarray]],
    pictures: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> Image.Image:
    """Two rows, initial above final predictions, one column per task; one row for methods that predict once.

    Args:
        tasks: of the benchmark, whose colours and units are used.
        title: the first line.
        image: `(H, W, 3)` uint8.
        maps: "final" and, if there is one, "initial" -> task -> map of the image's size.
        pictures: what `Kind.picture` makes of them, where it is known.
    """
    stages = [stage for stage in ("initial", "final") if stage in maps]
    rows = []
    for stage in stages:
        cells = (
            [_Cell("image", _thumbnail(image, smooth=True))]
            if stage == stages[0]
            else [_Cell("", Image.new("RGB", (1, 1), "white"))]
        )
        for task in tasks:
            picture = pictures[stage][task.name] if pictures else task.kind.picture(task, maps[stage][task.name])
            small = _thumbnail(picture, smooth=not task.kind.indexed)
            cells.append(_Cell(f"{task.name}, {stage}", small, _legend(task, maps) if stage == stages[-1] else None))
        rows.append(cells)
    return _drawn(title, rows)


def _thumbnail(pixels: np.ndarray, smooth: bool) -> Image.Image:
    image = Image.fromarray(pixels)
    scale = THUMBNAIL / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BOX if smooth and scale < 1 else Image.Resampling.NEAREST)


def _legend(task: Task, maps: Mapping[str, Mapping[str, np.ndarray]]) -> Legend:
    """A task's legend; of classes only those that occur."""
    legend = task.kind.legend(task)
    if not task.kind.indexed:
        return legend
    occurring = np.flatnonzero(sum(np.bincount(stage[task.name].ravel(), minlength=256) for stage in maps.values()))
    return Legend(legend.title, tuple(legend.entries[c] for c in occurring if c < len(legend.entries)))


def _drawn(title: str, rows: list[list[_Cell]]) -> Image.Image:
    width = max(140, rows[0][0].thumbnail.width)
    columns = max(map(len, rows))
    heights = [LINE + max(c.thumbnail.height + _legend_height(c.legend) for c in cells) + GAP for cells in rows]
    sheet = Image.new("RGB", (GAP + columns * (width + GAP), GAP + LINE + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), title.encode("ascii", "replace").decode(), fill="black", font=FONT)
    top = GAP + LINE
    for cells, height in zip(rows, heights, strict=True):
        for number, cell in enumerate(cells):
            left = GAP + number * (width + GAP)
            draw.text((left, top), cell.title, fill="black", font=FONT)
            sheet.paste(cell.thumbnail, (left, top + LINE))
            if cell.legend:
                _draw_legend(draw, cell.legend, left, top + LINE + cell.thumbnail.height + 4, width)
        top += height
    return sheet


def _legend_height(legend: Legend | None) -> int:
    return 4 + LINE * (len(legend.entries) or 2) if legend else 0


def _draw_legend(draw: ImageDraw.ImageDraw, legend: Legend, left: int, top: int, width: int) -> None:
    for number, (name, colour) in enumerate(legend.entries):
        y = top + number * LINE
        draw.rectangle((left, y + 2, left + SWATCH, y + 2 + SWATCH), fill=colour, outline="black")
        draw.text((left + SWATCH + 6, y), name, fill="black", font=FONT)
    if legend.stops:
        part = width / len(legend.stops)
        for number, colour in enumerate(legend.stops):
            draw.rectangle((left + number * part, top, left + (number + 1) * part, top + SWATCH), fill=colour)
        draw.rectangle((left, top, left + width, top + SWATCH), outline="black")
        draw.text((left, top + LINE - 3), legend.low, fill="black", font=FONT)
        end = draw.textlength(legend.high, font=FONT)
        draw.text((left + width - end, top + LINE - 3), legend.high, fill="black", font=FONT)
