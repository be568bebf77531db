"""Charts of the report as SVG: quality over steps (the paper's Fig. 6), initial and final (Fig. 8), curves, intervals."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito: told apart by all
STYLE: Any = {
    "svg.hashsalt": "dmtl",  # equal figures have equal bytes
    "svg.fonttype": "none",
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
}
MARKERS = "osD^vPX"
Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # name -> (x, y)


def line_charts(panels: Mapping[str, Series], x_title: str) -> str:
    """Small multiples, one an entry of `panels` (title -> series with whole x); the legend stands once. Returns a data URI."""
    with plt.rc_context(STYLE):
        figure, axes = _grid(len(panels))
        for ax, (title, series) in zip(axes, panels.items(), strict=False):
            for number, (name, (x, y)) in enumerate(series.items()):
                colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
                ax.plot(x, y, label=name, color=colour, marker=marker, markersize=4, linewidth=1.5)
            ax.set(title=title, xlabel=x_title)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, axes)
        return _data_uri(figure)


def paired_bars(panels: Mapping[str, tuple[float, float]], names: tuple[str, str]) -> str:
    """Two bars an entry of `panels` (title -> two values), in an axis of their own since units differ. Returns a data URI."""
    with plt.rc_context(STYLE):
        figure, axes = _grid(len(panels), width=1.7, height=2.1, columns=5)
        for ax, (title, values) in zip(axes, panels.items(), strict=False):
            bars = ax.bar(names, values, color=PALETTE[:2], width=0.6)
            bars[1].set_hatch("//")
            ax.bar_label(bars, fmt="%.3g", fontsize=8)
            ax.set_title(title, fontsize=8, wrap=True)
            ax.margins(y=0.2)
        return _data_uri(figure)


def interval_chart(rows: Sequence[tuple[str, float, float, float]], title: str) -> str:
    """A forest plot: a line a row of (label, value, low, high), and where zero is. Returns a data URI."""
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(8.5, 0.8 + 0.38 * len(rows)), layout="constrained")
        for y, (_, value, low, high) in enumerate(rows):
            told = 0 if low > 0 else 1 if high < 0 else 6
            ax.plot([low, high], [y, y], color=PALETTE[told], linewidth=2)
            ax.plot([value], [y], color=PALETTE[told], marker=MARKERS[told % len(MARKERS)], markersize=6)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_yticks(range(len(rows)), [label for label, *_ in rows], fontsize=8)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel(title)
        return _data_uri(figure)


def _grid(count: int, width: float = 2.9, height: float = 2.3, columns: int = 3) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained")
    for unused in axes.flat[count:]:
        unused.set_visible(False)
    return figure, list(axes.flat[:count])


def _legend(figure: Figure, axes: list[Axes]) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        columns = max(1, int(figure.get_figwidth() // 1.9))
        figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)), frameon=False)


def _data_uri(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue().encode()).decode()
