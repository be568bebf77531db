"""Charts of the report as SVG: quality over steps (the paper's Fig. 6), initial and final (Fig. 8), curves, intervals."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito: told apart by all
STYLE: Any = {
    "svg.hashsalt": "dmtl",  # equal figures have equal bytes
    "svg.fonttype": "none",
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
}
MARKERS = "osD^vPX"
MARKED = 8  # points of a line at most that have a marker
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
Spans = Sequence[tuple[float, float] | None]  # the ends of an interval of each point
Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # name -> (x, y)

NARROW = 3.9  # inches: what a telephone of 400 pixels shows at full size


class Interval(NamedTuple):
    """A value with its interval, and what the paper prints of it."""

    label: str
    value: float
    low: float
    high: float
    paper: float | None = None


class Image(NamedTuple):
    """A picture of a chart: its text for those who do not see it, and a data URI of an SVG."""

    alt: str
    uri: str


def line_charts(
    panels: Mapping[str, Series],
    x_title: str,
    order: Sequence[str] = (),
    log: bool = False,
    intervals: Mapping[str, Mapping[str, Spans]] = MappingProxyType({}),
) -> list[Image]:
    """Small multiples: one picture per entry of `panels` (title -> series with whole x), and last their legend if one is needed.

    Args:
        order: names that have the same look in every chart, drawn or not; further names follow.
        log: logarithmic y where all values are positive.
        intervals: of the points of series that have them, under the same titles and names.
    """
    names = dict.fromkeys(name for series in panels.values() for name in series)
    looks = {name: _look(number) for number, name in enumerate(dict.fromkeys([*order, *names]))}
    drawn = {name: look for name, look in looks.items() if name in names}
    with plt.rc_context(STYLE):
        images = [Image(t, _lines(t, series, looks, x_title, log, intervals.get(t, {}))) for t, series in panels.items()]
        return images + ([Image(f"legend: {', '.join(drawn)}", _legend(drawn))] if len(drawn) > 1 else [])


def paired_bars(panels: Mapping[str, tuple[float, float]], names: tuple[str, str]) -> list[Image]:
    """One picture of two bars per entry of `panels` (title -> two values), since units differ."""
    images = []
    with plt.rc_context(STYLE):
        for title, values in panels.items():
            figure, ax = plt.subplots(figsize=(1.75, 2.1), layout="constrained")
            bars = ax.bar(names, values, color=PALETTE[:2], width=0.6)
            bars[1].set_hatch("//")
            ax.bar_label(bars, fmt="%.3g", fontsize=8)
            ax.set_title(title, fontsize=8)
            ax.margins(y=0.2)
            numbers = ", ".join(f"{name} {value:.3g}" for name, value in zip(names, values, strict=True))
            images.append(Image(f"{title.replace(chr(10), ', ')}: {numbers}", _data_uri(figure)))
    return images


def interval_chart(rows: Sequence[Interval], title: str) -> str:
    """A forest plot as wide as a phone, as a data URI: each interval below its label, where zero is, the paper's values."""
    heights = [0.29 + 0.13 * row.label.count("\n") for row in rows]
    bottoms = list(accumulate(heights))
    with plt.rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure, ax = plt.subplots(figsize=(NARROW, 0.75 + bottoms[-1]), layout="constrained")
        for row, height, bottom in zip(rows, heights, bottoms, strict=True):
            y = bottom - 0.08
            look = 0 if row.low > 0 else 1 if row.high < 0 else 6
            ax.plot([row.low, row.high], [y, y], color=PALETTE[look], linewidth=2)
            ax.plot([row.value], [y], color=PALETTE[look], marker=MARKERS[look % len(MARKERS)], markersize=5)
            if row.paper is not None:
                ax.plot([row.paper], [y], color="black", marker="|", markersize=9, markeredgewidth=1.6, linestyle="")
            words = ax.text(0, bottom - height + 0.02, row.label, fontsize=8, va="top", transform=ax.get_yaxis_transform())
            words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8})
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_ylim(bottoms[-1] + 0.05, -0.05)
        ax.set_xlabel(title + ("; | the paper's" if any(row.paper is not None for row in rows) else ""))
        return _data_uri(figure)


def heat_map(title: str, values: Sequence[Sequence[float | None]], names: Sequence[str]) -> Image:
    """A square of cosines from -1 to 1, row and column alike named; what is None stays white."""
    filled = [[float("nan") if value is None else value for value in row] for row in values]
    side = 1.3 + 0.16 * len(names)
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, ax = plt.subplots(figsize=(side + 0.7, side), layout="constrained")
        drawn = ax.imshow(filled, vmin=-1, vmax=1, cmap="RdBu")
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        ax.set_yticks(range(len(names)), names, fontsize=7)
        ax.set_title("\n".join(title.split(": ", 1)), fontsize=7)
        figure.colorbar(drawn, ax=ax, shrink=0.8)
        return Image(title, _data_uri(figure))


def _look(number: int) -> dict[str, Any]:
    """Colour, marker and dashes of a series: no two of the first 28 are alike, and each dash comes with other markers."""
    again, place = divmod(number, len(PALETTE))
    marker = MARKERS[(place + again) % len(MARKERS)]
    return {
        "color": PALETTE[place],
        "marker": marker,
        "linestyle": DASHES[again % len(DASHES)],
        "markersize": 4,
        "linewidth": 1.5,
    }


def _lines(
    title: str, series: Series, looks: Mapping[str, dict[str, Any]], x_title: str, log: bool, intervals: Mapping[str, Spans]
) -> str:
    figure, ax = plt.subplots(figsize=(2.9, 2.3), layout="constrained")
    for name, (x, y) in series.items():
        ax.plot(x, y, markevery=-(-len(x) // MARKED), **looks[name])
        for place, ends in zip(x, intervals.get(name, ()), strict=False):
            if ends is not None:
                ax.plot([place, place], ends, color=looks[name]["color"], linewidth=1, alpha=0.6, marker="_", markersize=5)
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(x_title)
    places = sorted({place for x, _ in series.values() for place in x})
    ax.xaxis.set_major_locator(FixedLocator(places) if len(places) <= MARKED else MaxNLocator(integer=True))
    if log and all(value > 0 for _, y in series.values() for value in y):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    return _data_uri(figure)


def _legend(looks: Mapping[str, dict[str, Any]]) -> str:
    """Two columns, as wide as a phone."""
    figure = plt.figure(figsize=(NARROW, 0.1 + 0.19 * -(-len(looks) // 2)))
    handles = [Line2D([], [], **look) for look in looks.values()]
    figure.legend(handles, list(looks), loc="center left", ncols=2, frameon=False, handlelength=3.2, fontsize=8, borderpad=0)
    return _data_uri(figure)


def _data_uri(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue().encode()).decode()
