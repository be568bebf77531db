"""Maps (`dmtl.evaluation.maps`) as colour pictures, with the legends that say what the colours mean.

Colours and scales are fixed for each benchmark, so that pictures of different methods and images can be compared by eye. Value
scales are perceptually even and, like the NYUD and human-parts colours, told apart with the common colour deficiencies;
Cityscapes and PASCAL have the colours that everybody knows. What is not labelled is hatched: no colour scale has a hatch.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib import colormaps

from dmtl.benchmarks.raw import benchmark_module
from dmtl.evaluation.maps import depth_range, kind
from dmtl.tasks import IGNORE, TASKS

PALETTES = {  # in the order of the benchmark's class names
    ("nyud", "semseg"): "663399 ff66cc ccff99 ff3300 990000 999966 cc66ff 66ff00 000033 993366 330000 ffcccc 0033ff",
    (
        "cityscapes",
        "semseg",
    ): "804080 464646 999999 6b8e23 4682b4 dc143c 00008e",  # of road, building, pole, vegetation, sky, person, car
    ("pascal", "human_parts"): "000000 e69f00 56b4e9 009e73 f0e442 0072b2 d55e00",  # Okabe and Ito
}
LARGEST_ANGLE = 60.0  # degrees; larger errors look like this one
HATCH = ((255, 255, 255), (176, 176, 176))
HATCH_WIDTH = 3  # pixels
AXES = (("+x", "#ff8080"), ("+y", "#80ff80"), ("+z", "#8080ff"))  # the colour of the unit vector along each axis
STOPS = 9


@dataclass(frozen=True)
class Legend:
    """What the colours of a picture mean.

    Attributes:
        title: what is shown.
        entries: names and colours (`#rrggbb`); empty for a scale.
        stops: evenly spaced colours of a scale from `low` to `high`; empty where there is none.
        low, high: what the ends of the scale stand for, with the unit.
    """

    title: str
    entries: tuple[tuple[str, str], ...] = ()
    stops: tuple[str, ...] = ()
    low: str = ""
    high: str = ""


def picture(benchmark: str, task: str, values: np.ndarray) -> np.ndarray:
    """A map as `(H, W, 3)` uint8 RGB."""
    of = kind(task)
    if of == "classes":
        return _hatched(palette(benchmark, task)[values], values == IGNORE)
    missing = np.isnan(values)
    if of == "normals":
        colours = np.rint(127.5 * (np.nan_to_num(values) + 1)).clip(0, 255).astype(np.uint8)
        return _hatched(colours, missing.any(-1))
    high = 1 if of == "probability" else depth_range(benchmark).high
    return _scaled(values, high, _scale_name(task))


def error_picture(benchmark: str, task: str, error: np.ndarray) -> np.ndarray:
    """What `dmtl.evaluation.maps.error` gives as `(H, W, 3)` uint8 RGB: black = right, the brighter the worse."""
    if kind(task) == "classes":
        return _hatched(_wrong_colours()[np.minimum(error, 1)], error == IGNORE)
    return _scaled(error, _largest_error(benchmark, task), "inferno")


def palette(benchmark: str, task: str) -> np.ndarray:
    """`(256, 3)` uint8: the colour of each class; PASCAL VOC's where a benchmark has none of its own."""
    colours = _voc_colours()
    if own := PALETTES.get((benchmark, task)):
        listed = np.array([list(bytes.fromhex(colour)) for colour in own.split()], np.uint8)
        colours[: len(listed)] = listed
    return colours


def class_names(benchmark: str, task: str) -> tuple[str, ...]:
    """The names of a task's classes as the benchmark's module has them."""
    module = benchmark_module(benchmark)
    return module.PARTS if task == "human_parts" else module.CLASSES


def legend(benchmark: str, task: str) -> Legend:
    """What the colours of `picture` mean."""
    title, of = TASKS[task].title, kind(task)
    if of == "classes":
        return Legend(title, tuple(zip(class_names(benchmark, task), map(_hex, palette(benchmark, task)), strict=False)))
    if of == "normals":
        return Legend(f"{title}: (n + 1) / 2 as red, green, blue", AXES)
    if of == "probability":
        return Legend(f"{title}: probability", (), _stops(_scale_name(task)), "0", "1")
    span = depth_range(benchmark)
    return Legend(f"{title} ({span.unit})", (), _stops(_scale_name(task)), "0", f"{span.high:g} {span.unit} or more")


def error_legend(benchmark: str, task: str) -> Legend:
    """What the colours of `error_picture` mean."""
    of = kind(task)
    if of == "classes":
        right, wrong = _wrong_colours()
        return Legend("Error: class", (("right", _hex(right)), ("wrong", _hex(wrong))))
    what = {"probability": "absolute difference", "depth": "absolute error", "normals": "angle"}[of]
    unit = {"probability": "", "depth": f" {depth_range(benchmark).unit}", "normals": " degrees"}[of]
    more = "" if of == "probability" else " or more"
    return Legend(f"Error: {what}", (), _stops("inferno"), "0", f"{_largest_error(benchmark, task):g}{unit}{more}")


def _largest_error(benchmark: str, task: str) -> float:
    return {"probability": 1.0, "depth": depth_range(benchmark).error, "normals": LARGEST_ANGLE}[kind(task)]


def _scale_name(task: str) -> str:
    return "viridis" if kind(task) == "depth" else "gray"


def _scaled(values: np.ndarray, high: float, name: str) -> np.ndarray:
    missing = np.isnan(values)
    place = np.rint(255 * np.clip(np.nan_to_num(values) / high, 0, 1)).astype(np.uint8)
    return _hatched(_scale(name)[place], missing)


def _hatched(colours: np.ndarray, missing: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(missing)
    colours[y, x] = np.array(HATCH, np.uint8)[(x + y) // HATCH_WIDTH % 2]
    return colours


@cache
def _scale(name: str) -> np.ndarray:
    """`(256, 3)` uint8."""
    return (colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def _stops(name: str) -> tuple[str, ...]:
    return tuple(_hex(colour) for colour in _scale(name)[np.linspace(0, 255, STOPS).round().astype(int)])


def _wrong_colours() -> np.ndarray:
    """`(2, 3)`: of right and wrong classes."""
    return _scale("inferno")[[0, 192]]


def _voc_colours() -> np.ndarray:
    """`(256, 3)` uint8, as VOC numbers them: bits 0, 1, 2 of a class are the highest of red, green and blue, and so on."""
    classes = np.arange(256)
    colours = np.zeros((256, 3), int)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= (classes >> (3 * place + channel) & 1) << (7 - place)
    return colours.astype(np.uint8)


def _hex(colour: np.ndarray) -> str:
    return "#" + bytes(colour.tolist()).hex()
