"""The figures that the paper prints, Tables 1-5, as `published.csv` holds them."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple


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
