"""Colours of maps, and the legends that say what they mean; which map has which, its kind of task says.

Scales are fixed for each benchmark's task, so that pictures of different methods and images can be compared by eye. They are
perceptually even and told apart with the common colour deficiencies. What is not labelled is hatched: no colour scale has a
hatch.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

HATCH = ((255, 255, 255), (176, 176, 176))
HATCH_WIDTH = 3  # pixels
AXES = (("+x", "#ff8080"), ("+y", "#80ff80"), ("+z", "#8080ff"))  # of normals: the colour of the unit vector along each axis
ERRORS = "inferno"  # the scale of errors
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


def palette(colours: str) -> np.ndarray:
    """`(256, 3)` uint8: the colour of each class, VOC's from the first class on that has none in `colours`."""
    table = _voc_colours()
    listed = np.array([list(bytes.fromhex(colour)) for colour in colours.split()], np.uint8).reshape(-1, 3)
    table[: len(listed)] = listed
    return table


def scaled(values: np.ndarray, high: float, name: str) -> np.ndarray:
    """Values `(H, W)` from 0 to `high`, NaN where there is none, on a scale of matplotlib: `(H, W, 3)` uint8."""
    place = np.rint(255 * np.clip(np.nan_to_num(values) / high, 0, 1)).astype(np.uint8)
    return hatched(_scale(name)[place], np.isnan(values))


def as_rgb(values: np.ndarray, high: float) -> np.ndarray:
    """Values `(H, W, 3)` from 0 to `high`, NaN where there is none, as red, green and blue: uint8."""
    colours = np.rint(255 * np.clip(np.nan_to_num(values) / high, 0, 1)).astype(np.uint8)
    return hatched(colours, np.isnan(values).any(-1))


def hatched(colours: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """`(H, W, 3)` with the hatch where `missing`, `(H, W)`; overwritten."""
    y, x = np.nonzero(missing)
    colours[y, x] = np.array(HATCH, np.uint8)[(x + y) // HATCH_WIDTH % 2]
    return colours


def stops(name: str) -> tuple[str, ...]:
    """Evenly spaced colours of a scale."""
    return tuple(hex_of(colour) for colour in _scale(name)[np.linspace(0, 255, STOPS).round().astype(int)])


def wrong_colours() -> np.ndarray:
    """`(2, 3)`: of right and wrong classes."""
    return _scale(ERRORS)[[0, 192]]


def hex_of(colour: np.ndarray) -> str:
    """`#rrggbb`."""
    return "#" + bytes(colour.tolist()).hex()


@cache
def _scale(name: str) -> np.ndarray:
    """`(256, 3)` uint8."""
    from matplotlib import colormaps  # half a second, which evaluation does not need

    return (colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def _voc_colours() -> np.ndarray:
    """`(256, 3)` uint8, as VOC numbers them: bits 0, 1, 2 of a class are the highest of red, green and blue, and so on."""
    classes = np.arange(256)
    colours = np.zeros((256, 3), int)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= (classes >> (3 * place + channel) & 1) << (7 - place)
    return colours.astype(np.uint8)
