"""One picture of an image and all its predictions, with legends."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dmtl.evaluation.maps import kind
from dmtl.pictures import Legend, legend, picture

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


def contact_sheet(benchmark: str, title: str, image: np.ndarray, maps: Mapping[str, Mapping[str, np.ndarray]]) -> Image.Image:
    """Two rows, initial above final predictions, a column a task; one row for methods that predict once.

    Args:
        benchmark: whose colours and units are used.
        title: the first line.
        image: `(H, W, 3)` uint8.
        maps: "final" and, if there is one, "initial" -> task -> map of the image's size.
    """
    stages = [stage for stage in ("initial", "final") if stage in maps]
    rows = []
    for stage in stages:
        cells = (
            [_Cell("image", _thumbnail(image, smooth=True))]
            if stage == stages[0]
            else [_Cell("", Image.new("RGB", (1, 1), "white"))]
        )
        for task, values in maps[stage].items():
            about = _shown(legend(benchmark, task), task, maps) if stage == stages[-1] else None
            small = _thumbnail(picture(benchmark, task, values), smooth=kind(task) != "classes")
            cells.append(_Cell(f"{task}, {stage}", small, about))
        rows.append(cells)
    return _drawn(title, rows)


def _thumbnail(pixels: np.ndarray, smooth: bool) -> Image.Image:
    image = Image.fromarray(pixels)
    scale = THUMBNAIL / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BOX if smooth and scale < 1 else Image.Resampling.NEAREST)


def _shown(about: Legend, task: str, maps: Mapping[str, Mapping[str, np.ndarray]]) -> Legend:
    """A legend of classes cut down to those that occur."""
    if kind(task) != "classes":
        return about
    occurring = sorted({int(c) for of_tasks in maps.values() for c in np.unique(of_tasks[task])})
    return Legend(about.title, tuple(about.entries[c] for c in occurring if c < len(about.entries)))


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


def _legend_height(about: Legend | None) -> int:
    return 4 + LINE * (len(about.entries) or 2) if about else 0


def _draw_legend(draw: ImageDraw.ImageDraw, about: Legend, left: int, top: int, width: int) -> None:
    for number, (name, colour) in enumerate(about.entries):
        y = top + number * LINE
        draw.rectangle((left, y + 2, left + SWATCH, y + 2 + SWATCH), fill=colour, outline="black")
        draw.text((left + SWATCH + 6, y), name, fill="black", font=FONT)
    if about.stops:
        part = width / len(about.stops)
        for number, colour in enumerate(about.stops):
            draw.rectangle((left + number * part, top, left + (number + 1) * part, top + SWATCH), fill=colour)
        draw.rectangle((left, top, left + width, top + SWATCH), outline="black")
        draw.text((left, top + LINE - 3), about.low, fill="black", font=FONT)
        end = draw.textlength(about.high, font=FONT)
        draw.text((left + width - end, top + LINE - 3), about.high, fill="black", font=FONT)
