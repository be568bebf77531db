"""The figures that the paper prints, Tables 1-5, as `published.csv` holds them."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

MAIN = "resnet18"  # the backbone of most of its tables


class Row(NamedTuple):
    """Which row of the tables: what was trained, without its seed."""

    benchmark: str
    setting: str
    method: str
    backbone: str
    steps: int | None = None  # of diffusion, where cells pin another number than params.yaml's


@dataclass(frozen=True)
class Published:
    """One printed figure. `source` is `paper`, or `[6]` for figures that the paper copies from XTC's, on other networks."""

    table: int
    row: Row
    task: str
    metric: str
    value: float
    source: str


@cache
def published() -> tuple[Published, ...]:
    """All printed figures, in the order of the tables."""
    with files("dmtl.report").joinpath("published.csv").open(encoding="utf-8") as file:
        return tuple(_parse(line) for line in csv.DictReader(file))


def _parse(line: dict[str, str]) -> Published:
    row = Row(line["benchmark"], line["setting"], line["method"], line["backbone"])
    return Published(int(line["table"]), row, line["task"], line["metric"], float(line["value"]), line["source"])


def figures(table: int, row: Row, source: str = "paper") -> dict[tuple[str, str], float]:
    """(task, metric) -> printed value of one row of one table; empty where the paper has no such row."""
    return {(p.task, p.metric): p.value for p in published() if (p.table, p.row, p.source) == (table, row, source)}


def rows(table: int, source: str | None = None) -> list[Row]:
    """The rows of a table, in the order in which they are printed."""
    return list(dict.fromkeys(p.row for p in published() if p.table == table and source in (None, p.source)))


def papers_gain(a: Row, b: Row) -> tuple[float, str] | None:
    """Delta_m of one row less another's as the paper prints them of its main backbone, and on which benchmark; else None.

    Of the rows' own benchmark where that is printed, else of the first that is. Rows with pinned steps are printed nowhere.
    """
    if a.steps is not None or b.steps is not None:
        return None
    gains = {p.row: p.value for p in published() if p.metric == "delta_m" and p.source == "paper" and p.row.backbone == MAIN}
    for name in dict.fromkeys([a.benchmark, *(row.benchmark for row in gains)]):
        first, second = (gains.get(row._replace(benchmark=name, backbone=MAIN)) for row in (a, b))
        if first is not None and second is not None:
            return round(first - second, 2), name
    return None
