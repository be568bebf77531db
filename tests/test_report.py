"""Tables: the fixed columns, means over seeds, honest gaps, equal bytes."""

import csv
import json
import statistics
from pathlib import Path

import pytest
import yaml
from conftest import tiny_params, write_project

from dmtl.config import Project, for_report
from dmtl.files import write_json
from dmtl.metrics.delta import delta_m
from dmtl.report.published import Row, figures, published, rows
from dmtl.report.tables import write_report

COLUMNS = "table,benchmark,setting,method,backbone,task,metric,unit,ours,sd,seeds,paper,difference"
METRICS = {"semseg": "miou", "depth": "abs_error", "normals": "mean_error"}


def _result(project: Project, cell: str, semseg: float, depth: float, normals: float, initial: bool = False) -> None:
    final = {t: {METRICS[t]: v} for t, v in zip(METRICS, (semseg, depth, normals), strict=True)}
    first = {t: {METRICS[t]: 2 * v[METRICS[t]]} for t, v in final.items()} if initial else None
    content = {"cell": cell, "scale": "demo", "seed": 0, "metrics": {"final": final, "initial": first}}
    write_json(project.paths.result(cell), content)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A demo of NYUD alone, with a second seed of one method and results of some cells."""
    folder = write_project(tmp_path, tiny_params())
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    grid["benchmarks"] = ["nyud"]
    for part in ("cells", "extra"):
        grid[part] = {key: value for key, value in grid[part].items() if key.startswith("nyud-")}
    cell = "nyud-onelabel-diffusion_feature"
    grid["cells"][f"{cell}-seed1"] = grid["cells"][cell] | {"seed": 1}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    project = Project(folder)
    _result(project, "nyud-onelabel-single_task", 40, 0.5, 25)
    _result(project, cell, 44, 0.45, 22.5, initial=True)
    _result(project, f"{cell}-seed1", 40, 0.5, 25, initial=True)
    _result(project, "nyud-full-constant", 3, 1.0, 50)
    return project


def _entries(project: Project) -> dict[tuple[str, str, str], dict[str, str]]:
    text = (project.paths.reports() / "table3.csv").read_text()
    assert text.splitlines()[0] == COLUMNS
    lines = list(csv.DictReader(text.splitlines()))
    entries = {(e["setting"], e["method"], e["task"]): e for e in lines}
    assert len(entries) == len(lines)
    return entries


def test_seeds_are_averaged(project: Project) -> None:
    write_report(for_report(project), project.paths)
    entry = _entries(project)["onelabel", "diffusion_feature", "semseg"]
    assert (float(entry["ours"]), entry["seeds"], entry["paper"]) == (42, "2", "44.47")
    assert float(entry["sd"]) == pytest.approx(statistics.stdev([44, 40]))
    gain = _entries(project)["onelabel", "diffusion_feature", ""]
    assert (gain["metric"], float(gain["ours"])) == ("delta_m", pytest.approx(5))


def test_what_was_not_run_is_empty(project: Project) -> None:
    write_report(for_report(project), project.paths)
    entries = _entries(project)
    for method in ("xtc", "mtl_baseline", "semi_supervised"):
        entry = entries["onelabel", method, "depth"]
        assert (entry["ours"], entry["sd"], entry["seeds"], entry["difference"]) == ("", "", "", "")
    assert entries["onelabel", "xtc", "depth"]["paper"] == "0.514"
    assert entries["onelabel", "semi_supervised", "depth"]["paper"] == ""  # the figure is of another network


def test_a_difference_needs_the_papers_scale(project: Project) -> None:
    write_report(for_report(project), project.paths)
    assert all(not entry["difference"] for entry in _entries(project).values())
    params = yaml.safe_load((project.folder / "params.yaml").read_text())
    (project.folder / "params.yaml").write_text(yaml.safe_dump(params | {"scale": "paper"}))
    paper = Project(project.folder)
    _result(paper, "nyud-onelabel-single_task", 46, 0.5, 25)
    write_report(for_report(paper), paper.paths)
    entry = _entries(paper)["onelabel", "single_task", "semseg"]
    assert float(entry["difference"]) == pytest.approx(46 - 45.28)


def test_every_paper_row_and_every_row_of_ours_is_there(project: Project) -> None:
    write_report(for_report(project), project.paths)
    have = {(setting, method) for setting, method, _ in _entries(project)}
    assert {(row.setting, row.method) for row in rows(3) if row.benchmark == "nyud"} <= have
    assert {("full", "constant"), ("full", "mtl_baseline"), ("full", "diffusion_feature")} <= have


def test_the_markdown_says_what_made_it(project: Project) -> None:
    write_report(for_report(project), project.paths)
    text = (project.paths.reports() / "table3.md").read_text()
    assert "synthetic scenes" in text
    assert "not comparable with the paper" in text
    assert "42.00 ± 2.83 (44.47)" in text
    assert "84.00 → 42.00" in text
    assert "another network" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 2


def test_the_summary_is_short_and_nested_for_dvc(project: Project) -> None:
    write_report(for_report(project), project.paths)
    summary = json.loads((project.paths.reports() / "summary.json").read_text())
    assert summary == {"delta_m": {"nyud-onelabel-diffusion_feature": pytest.approx(5)}}


def test_equal_results_give_equal_bytes(project: Project) -> None:
    contents = []
    for _ in range(2):
        write_report(for_report(project), project.paths)
        contents.append({p.name: p.read_bytes() for p in project.paths.reports().iterdir()})
    assert contents[0] == contents[1]
    assert sorted(contents[0]) == ["summary.json", "table3.csv", "table3.md"]


def test_published_figures_are_complete() -> None:
    """Every row of the paper's tables has a figure for each of its tasks."""
    tasks = {"pascal": 5, "nyud": 3, "cityscapes": 2}
    for table in (1, 2, 3, 4, 5):
        for row in rows(table, "paper"):
            assert sum(bool(task) for task, _ in figures(table, row)) == tasks[row.benchmark]
    assert figures(3, Row("nyud", "onelabel", "diffusion_feature", "resnet18"))["", "delta_m"] == -2.27
    assert {p.source for p in published()} == {"paper", "[6]"}


def test_delta_in_the_table_is_the_metrics(project: Project) -> None:
    write_report(for_report(project), project.paths)
    single = {"semseg": 40, "depth": 0.5, "normals": 25}
    seeds = [delta_m(s, single) for s in ({"semseg": 44, "depth": 0.45, "normals": 22.5}, single)]
    assert float(_entries(project)["onelabel", "diffusion_feature", ""]["ours"]) == pytest.approx(statistics.mean(seeds))
