"""The figures that papers other than DiffusionMTL print, of partial labels on its benchmarks, as `other_papers.csv` holds them.

They are of other trunks, image sizes and trainings than ours, so each stands with its backbone and its source.
"""

import csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from dmtl.report.columns import DELTA_MTL, PARAMS, Key, headline_columns
from dmtl.report.published import Row

_ABOUT_ROW = ("benchmark", "setting", "method", "title", "backbone", "source", "remark")  # the other columns are figures


class Note(NamedTuple):
    """Where a row is printed, and what a reader must know beside its figures; the remark is empty where that is nothing."""

    source: str
    remark: str


@dataclass(frozen=True)
class PrintedRow:
    """One printed row. Where our grid has its method, it bears that name.

    Attributes:
        title: the method as its source calls it.
        figures: (task, metric) -> printed value.
    """

    row: Row
    title: str
    figures: dict[Key, float]
    note: Note


@cache
def printed_rows() -> dict[Row, PrintedRow]:
    """All printed rows, by benchmark, setting and source."""
    with files("dmtl.report").joinpath("other_papers.csv").open(encoding="utf-8") as file:
        return {line.row: line for line in map(_parse, csv.DictReader(file))}


def is_beside(row: Row) -> bool:
    """Whether a row of ours stands beside printed ones: whether they have its benchmark and setting."""
    return any((row.benchmark, row.setting) == (other.benchmark, other.setting) for other in printed_rows())


def with_printed(ours: Iterable[Row], benchmarks: Collection[str]) -> list[Row]:
    """Of each benchmark and setting that has printed rows those of ours, in their order, then the printed ones.

    Args:
        benchmarks: whose printed rows are wanted.
    """
    rows = dict.fromkeys([*filter(is_beside, ours), *(row for row in printed_rows() if row.benchmark in benchmarks)])
    parts = list(dict.fromkeys((row.benchmark, row.setting) for row in printed_rows()))
    return sorted(rows, key=lambda row: parts.index((row.benchmark, row.setting)))


def printed(row: Row) -> PrintedRow:
    """What other papers print of a row; without figures and source where none has it."""
    return printed_rows().get(row, PrintedRow(row, "", {}, Note("", "")))


def _parse(line: dict[str, str]) -> PrintedRow:
    row = Row(line["benchmark"], line["setting"], line["method"], line["backbone"])
    keys = {column.metric: column.key for column in (PARAMS, DELTA_MTL)}
    keys |= {task: column.key for task, column in headline_columns(row.benchmark).items()}
    figures = {keys[name]: float(value) for name, value in line.items() if value and name not in _ABOUT_ROW}
    return PrintedRow(row, line["title"], figures, Note(line["source"], line["remark"]))
