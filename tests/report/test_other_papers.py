"""The table beyond the paper: every method on partial labels, beside what other papers print."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.project import tiny_params, write_project

from dmtl.benchmarks import benchmark
from dmtl.config import Grid, Project, for_report
from dmtl.files import write_json
from dmtl.metrics.delta import delta_m
from dmtl.report import other_papers
from dmtl.report.columns import DELTA_MTL, headline_columns, lower_is_better
from dmtl.report.latex import latex
from dmtl.report.layout import sections
from dmtl.report.markdown import markdown
from dmtl.report.missing import missing
from dmtl.report.other_papers import Note, PrintedRow
from dmtl.report.page import _caption
from dmtl.report.published import Row
from dmtl.report.results import Results, load_all
from dmtl.report.table_cells import BEYOND, OWN, cells_of_table, table_numbers, table_rows, tables

METHODS = {
    "single_task": "Single-Task",
    "mtl_baseline": "MTL Baseline",
    "xtc": "XTC*",
    "no_diffusion": "w/o Diffusion",
    "ours_alone": "Ours_alone",
}
CELLS = ("onelabel-single_task", "onelabel-mtl_baseline", "onelabel-xtc", "onelabel-ours_alone", "full-ours_alone")
PINNED = ("onelabel-ours_alone-steps5", "onelabel-no_diffusion-steps5", "onelabel-no_diffusion-steps4")
SCORES = {  # semseg, depth, normals
    "nyud-onelabel-single_task": (50, 0.5, 25),
    "nyud-onelabel-mtl_baseline": (40, 0.5, 20),
    "nyud-onelabel-ours_alone": (46, 0.5, 20),
    "nyud-onelabel-ours_alone-seed1": (40, 0.425, 20),
    "nyud-full-ours_alone": (90, 0.1, 10),
    "nyud-onelabel-ours_alone-steps5": (44, 0.5, 20),
}
NOTE = Note("the paper of JTR", "keeps the epoch that is best on the test set")
PRINTED = [  # one that is a row of ours too, two of another trunk, one with labels that no cell of ours has
    PrintedRow(
        Row("nyud", "onelabel", "mtl_baseline", "resnet18"), "MTL, again", {("semseg", "miou"): 41.5}, Note("a poster", "")
    ),
    PrintedRow(Row("nyud", "onelabel", "mtl_baseline", "segnet"), "Supervised", {("semseg", "miou"): 25.75}, NOTE),
    PrintedRow(Row("nyud", "onelabel", "jtr", "segnet"), "JTR", {("semseg", "miou"): 37.1, DELTA_MTL.key: 21.92}, NOTE),
    PrintedRow(Row("nyud", "randomlabels", "jtr", "segnet"), "JTR", {("depth", "abs_error"): 0.55}, NOTE),
]
TABLE = """\
| # labels | Backbone | Method | #Params M | FLOPs G | Semantic segmentation: mIoU % ↑ | Depth: absErr ↓ | \
Surface normals: mErr degrees ↓ | Δm % ↑ | Δ vs MTL Baseline % ↑ |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| one | resnet18 | Single-Task | 7 | 5 | **50.00** | 0.5000 | 25.00 | – | 0.00 |
| one | resnet18 | MTL Baseline [a] | 7 | 5 | 40.00 (41.50) | 0.5000 | **20.00** | 0.00 | 0.00 |
| one | resnet18 | XTC* | 7 | 5 | – | – | – | – | – |
| one | resnet18 | w/o Diffusion with 5 steps | 7 | 5 | – | – | – | – | – |
| one | resnet18 | Ours_alone | 7 | 5 | 43.00 ± 4.24 | **0.4625 ± 0.0530** | 20.00 ± 0.00 | **4.50 ± 0.71** | **5.00 ± 0.00** |
| one | resnet18 | Ours_alone with 5 steps | 7 | 5 | 44.00 | 0.5000 | 20.00 | 2.67 | 3.33 |
| one | segnet | <i>Supervised [b]</i> | – | – | (<i>25.75</i>) | – | – | – | – |
| one | segnet | <i>JTR [b]</i> | – | – | (<i>37.10</i>) | – | – | – | (<i>21.92</i>) |
| random | segnet | <i>JTR [b]</i> | – | – | – | (<i>0.5500</i>) | – | – | – |

- [a] a poster.
- [b] the paper of JTR: keeps the epoch that is best on the test set.
"""


@pytest.fixture
def grid() -> Grid:
    cells = {}
    for name in (*CELLS, *PINNED, "onelabel-ours_alone-seed1"):
        setting, method, *more = name.split("-")
        steps = int(more[0].removeprefix("steps")) if more and "steps" in more[0] else None
        block = {"family": "diffusion", "params_block": "diffusion.network", "steps": steps} if steps else {}
        same = {"benchmark": "nyud", "setting": setting, "method": method, "backbone": "resnet18", "family": "plain"}
        seed = {"seed": 1} if more == ["seed1"] else {}
        cells[f"nyud-{name}"] = same | {"params_block": "plain"} | block | seed
    titled = {method: {"title": title, "cell": {}} for method, title in METHODS.items()}
    return Grid.model_validate({"benchmarks": ["nyud"], "methods": titled, "cells": cells, "extra": {}})


@pytest.fixture
def results(grid: Grid, tmp_path: Path) -> Results:
    paths = Project(write_project(tmp_path, tiny_params())).paths
    metrics = {task: column.metric for task, column in headline_columns("nyud").items()}
    for key, scores in SCORES.items():
        final = {task: {metric: score} for (task, metric), score in zip(metrics.items(), scores, strict=True)}
        write_json(paths.result(key), {"cell": key, "metrics": {"final": final, "initial": None}})
    return load_all(grid, paths)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_papers, "printed_rows", lambda: {one.row: one for one in PRINTED})


def _cells(grid: Grid, results: Results, comparable: bool = False) -> list:
    return list(table_numbers(BEYOND, grid, results, lambda _: {"params_m": 7.0, "flops_g": 5.0}, comparable))


@pytest.mark.usefixtures("printed")
def test_the_table_as_markdown(grid: Grid, results: Results) -> None:
    """Ours first, also where nothing is printed; printed rows with backbone and source, also where nothing is ours."""
    text = markdown(BEYOND, sections(BEYOND, _cells(grid, results), grid), results, "demo")
    assert text.startswith("# Table 6, beyond the paper, scale demo\n")
    assert "**not comparable with ours**" in text
    assert text.partition("## NYUD\n\n")[2] == TABLE


@pytest.mark.usefixtures("printed")
def test_the_numbers_have_source_and_remark_and_no_difference(grid: Grid, results: Results) -> None:
    """Also at the paper's scale: other papers' networks are others."""
    cells = {(c.setting, c.method, c.backbone, c.metric): c for c in _cells(grid, results, comparable=True) if not c.steps}
    assert all(cell.difference is None for cell in cells.values())
    jtr = cells["onelabel", "jtr", "segnet", "delta_mtl"]
    assert (jtr.ours, jtr.paper, jtr.source, jtr.remark) == (None, 21.92, *NOTE)
    both = cells["onelabel", "mtl_baseline", "resnet18", "miou"]
    assert (both.ours, both.paper, both.source) == (40, 41.5, "a poster")
    ours = cells["onelabel", "ours_alone", "resnet18", "delta_mtl"]
    assert (ours.ours, ours.seeds, ours.paper, ours.source) == (pytest.approx(5), 2, None, "")
    assert not any(cell.setting == "full" for cell in cells.values())


@pytest.mark.usefixtures("printed")
def test_the_table_as_latex(grid: Grid, results: Results) -> None:
    lines = latex(BEYOND, sections(BEYOND, _cells(grid, results), grid), "demo").splitlines()
    assert r"one & segnet & \textit{Supervised [b]} & -- & -- & \textcolor{gray}{(25.75)} & -- & -- & -- & -- \\" in lines
    assert r"one & resnet18 & XTC* & 7 & 5 & -- & -- & -- & -- & -- \\" in lines
    assert r"\par\footnotesize [a] a poster." in lines
    assert [line for line in lines if "caption" in line] == [
        r"\caption{Beyond DiffusionMTL on NYUD, scale demo: ours, what other papers print, not comparable, in grey.}"
    ]


@pytest.mark.usefixtures("printed")
def test_a_column_without_numbers_is_left_out(grid: Grid, results: Results) -> None:
    """A project that has no size of the paper counts no costs."""
    (section,) = sections(BEYOND, list(table_numbers(BEYOND, grid, results, None, comparable=False)), grid)
    assert [column.metric for column in section.columns] == ["miou", "abs_error", "mean_error", "delta_m", "delta_mtl"]
    assert {len(line.numbers) for line in section.lines} == {5}
    assert "other papers" in _caption(BEYOND, section, comparable=False)


@pytest.mark.usefixtures("printed")
def test_what_is_missing_of_ours_is_told_and_not_what_others_have(grid: Grid, results: Results) -> None:
    def told() -> Iterator[str]:
        return (gap.text for gap in missing(grid, results, [], ["nyud"], "demo") if gap.text.startswith("Table 6"))

    assert list(told()) == ["Table 6, NYUD: 2 of 6 rows were not run (one: XTC*, w/o Diffusion with 5 steps)."]
    del results[Row("nyud", "onelabel", "mtl_baseline", "resnet18")]
    assert "Table 6, NYUD: no Δ vs MTL Baseline for one, resnet18, since MTL Baseline has no result there." in told()


@pytest.mark.usefixtures("printed")
def test_a_method_that_the_paper_lacks_stands_beyond_it_alone(grid: Grid) -> None:
    """Settings of no printed row stay in Table 3; the paper's methods stand there with as many steps as a new one."""
    assert cells_of_table(BEYOND, grid) == [key for key in grid.cells if "onelabel" in key and "steps4" not in key]
    assert [(row.setting, row.method) for row in table_rows(3, grid) if row.method == "ours_alone"] == [("full", "ours_alone")]
    assert BEYOND in tables(grid)
    assert tables(grid.model_copy(update={"benchmarks": ("offices",)})) == [OWN], "what no paper prints has a table of its own"


def test_every_printed_row_is_whole() -> None:
    """A figure for each task, a source; and no row twice, which would hide one."""
    with Path(other_papers.__file__).with_suffix(".csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(other_papers.printed_rows())
    for row, printed in other_papers.printed_rows().items():
        assert {task for task, _ in printed.figures if task} == {task.name for task in benchmark(row.benchmark).tasks}
        assert printed.title
        assert printed.note.source
    jtr = other_papers.printed_rows()[Row("nyud", "randomlabels", "jtr", "segnet")]
    assert jtr.figures == {("semseg", "miou"): 37.08, ("depth", "abs_error"): 0.5541, ("normals", "mean_error"): 29.44} | {
        DELTA_MTL.key: 21.92
    }


def test_printed_gains_are_relative_to_the_printed_baseline() -> None:
    """What other papers print as their gain is what ours computes, from their own scores."""
    checked = 0
    for row, printed in other_papers.printed_rows().items():
        if DELTA_MTL.key in printed.figures:
            both = (printed, other_papers.printed(row._replace(method="mtl_baseline")))
            scores, baseline = ({task: value for (task, _), value in one.figures.items() if task} for one in both)
            gain = delta_m(scores, baseline, lower_is_better(row.benchmark))
            assert printed.figures[DELTA_MTL.key] == pytest.approx(gain, abs=0.05), row
            checked += 1
    assert checked == 10


def test_the_facts_are_those_that_were_collected(root: Path) -> None:
    """Every figure of partial labels on the two benchmarks, where the collection is at hand."""
    collected = root / "shared" / "docs" / "published_more.csv"
    if not collected.exists():
        pytest.skip("the collection of printed figures is not at hand")
    with collected.open(encoding="utf-8") as file:
        lines = [
            line for line in csv.DictReader(file) if line["benchmark"] in ("nyud", "cityscapes") and line["setting"] != "full"
        ]
    ours = sorted(value for printed in other_papers.printed_rows().values() for value in printed.figures.values())
    assert ours == sorted(float(line["value"]) for line in lines)


def test_the_projects_grid_shows_it(root: Path) -> None:
    rows = table_rows(BEYOND, for_report(Project(root)))
    assert {(row.benchmark, row.setting) for row in rows} == {
        ("nyud", "onelabel"),
        ("nyud", "randomlabels"),
        ("cityscapes", "onelabel"),
    }
    assert Row("nyud", "randomlabels", "diffusion_feature", "resnet18") in rows
    others = [
        row for row in other_papers.printed_rows() if row.method != "task_prototype"
    ]  # it has cells here, whose place it takes
    assert others == [row for row in rows if row in others]
    assert set(other_papers.printed_rows()) <= set(rows)
