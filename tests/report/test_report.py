"""Tables: the fixed columns, means over seeds, honest gaps, equal bytes."""

import csv
import json
import math
import random
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.page_structure import problems
from helpers.project import ROOT, tiny_params, write_project
from helpers.results import random_scores

from dmtl.config import Cell, Project, for_report
from dmtl.files import write_json
from dmtl.metrics.delta import delta_m
from dmtl.report.columns import columns_of
from dmtl.report.published import Row, figures, published, rows
from dmtl.report.results import row_of
from dmtl.report.table_cells import cells_of_table
from dmtl.report.tables import write_report

COLUMNS = "table,benchmark,setting,method,backbone,task,metric,unit,ours,sd,seeds,paper,difference"
METRICS = {"semseg": "miou", "depth": "abs_error", "normals": "mean_error"}


def _costs(cell: Cell) -> dict[str, float]:
    return {"params_m": 100 + len(cell.method), "flops_g": 500.0 + (cell.steps or 2)}


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
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    project = Project(folder)
    _result(project, "nyud-onelabel-single_task", 40, 0.5, 25)
    _result(project, cell, 44, 0.45, 22.5, initial=True)
    _result(project, f"{cell}-seed1", 40, 0.5, 25, initial=True)
    _result(project, "nyud-full-constant", 3, 1.0, 50)
    return project


def _entries(project: Project) -> dict[tuple[str, str, str], dict[str, str]]:
    text = (project.paths.reports() / "table3.csv").read_text()
    assert text.splitlines()[0] == COLUMNS
    lines = [line for line in csv.DictReader(text.splitlines()) if line["benchmark"] == "nyud"]
    entries = {(e["setting"], e["method"], e["task"]): e for e in lines}
    assert len(entries) == len(lines)
    return entries


def test_seeds_are_averaged(project: Project) -> None:
    write_report(for_report(project), project.paths, _costs)
    entry = _entries(project)["onelabel", "diffusion_feature", "semseg"]
    assert (float(entry["ours"]), entry["seeds"], entry["paper"]) == (42, "2", "44.47")
    assert float(entry["sd"]) == pytest.approx(statistics.stdev([44, 40]))
    gain = _entries(project)["onelabel", "diffusion_feature", ""]
    assert (gain["metric"], float(gain["ours"])) == ("delta_m", pytest.approx(5))


@pytest.mark.parametrize("without", [math.nan, None])
def test_a_task_without_a_valid_test_label_has_no_score(project: Project, without: float | None) -> None:
    """It is a dash in every table, never the best, and nothing is relative to it; results of old say NaN, which is no JSON."""
    cells = ("nyud-onelabel-diffusion_feature", "nyud-onelabel-diffusion_feature-seed1", "nyud-onelabel-single_task")
    for cell in (*cells, "nyud-onelabel-diffusion_prediction", "nyud-full-constant"):
        path = project.paths.result(cell)
        content = json.loads(path.read_text()) if path.exists() else json.loads(project.paths.result(cells[0]).read_text())
        for stage in ("final", "initial"):
            if content["metrics"][stage]:
                content["metrics"][stage]["semseg"]["miou"] = without
        path.write_text(json.dumps(content | {"cell": cell}))
    write_report(for_report(project), project.paths, _costs)
    entries = _entries(project)
    for method in ("diffusion_feature", "diffusion_prediction", "single_task"):
        assert entries["onelabel", method, "semseg"]["ours"] == ""
        assert entries["onelabel", method, "depth"]["ours"] != ""
        assert ("onelabel", method, "") not in entries or entries["onelabel", method, ""]["ours"] == ""
    for path in project.paths.reports().iterdir():
        assert not re.search(r"\bnan\b", path.read_text(), re.IGNORECASE), path
    assert "**–**" not in (project.paths.reports() / "table3.md").read_text()
    assert "Single-Task has no score of semseg" in (project.paths.reports() / "index.html").read_text()


def test_the_cells_of_a_table_are_its_rows(root: Path) -> None:
    """With Delta_m's reference and the constant, and nothing that another table alone shows."""
    grid = for_report(Project(root))
    for table in range(1, 6):
        assert {row_of(grid.cells[key]) for key in cells_of_table(table, grid)} >= set(rows(table))
    first = set(cells_of_table(1, grid))
    assert {key.partition("-")[0] for key in first} == {"cityscapes"}
    assert {"cityscapes-onelabel-single_task", "cityscapes-onelabel-constant"} <= first
    assert not any("steps" in key for key in first)
    assert "pascal-onelabel-single_task-resnet50" in cells_of_table(2, grid)


def test_what_was_not_run_is_empty(project: Project) -> None:
    write_report(for_report(project), project.paths, _costs)
    entries = _entries(project)
    for method in ("xtc", "mtl_baseline", "semi_supervised"):
        entry = entries["onelabel", method, "depth"]
        assert (entry["ours"], entry["sd"], entry["seeds"], entry["difference"]) == ("", "", "", "")
    assert entries["onelabel", "xtc", "depth"]["paper"] == "0.514"
    assert entries["onelabel", "semi_supervised", "depth"]["paper"] == ""  # the figure is of another network


def test_a_difference_needs_the_papers_scale(project: Project) -> None:
    write_report(for_report(project), project.paths, _costs)
    assert all(not entry["difference"] for entry in _entries(project).values())
    params = yaml.safe_load((project.paths.root / "params.yaml").read_text())
    (project.paths.root / "params.yaml").write_text(yaml.safe_dump(params | {"scale": "paper"}))
    paper = Project(project.paths.root)
    _result(paper, "nyud-onelabel-single_task", 46, 0.5, 25)
    write_report(for_report(paper), paper.paths, _costs)
    entry = _entries(paper)["onelabel", "single_task", "semseg"]
    assert float(entry["difference"]) == pytest.approx(46 - 45.28)


def test_tables_are_made_without_torch(project: Project) -> None:
    script = (
        "import sys; from pathlib import Path; from dmtl.config import Project, for_report\n"
        "from dmtl.report.tables import write_report\n"
        "project = Project(Path(sys.argv[1])); write_report(for_report(project), project.paths, None)\n"
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(project.paths.root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert _entries(project)


def test_every_paper_row_and_every_row_of_ours_is_there(project: Project) -> None:
    write_report(for_report(project), project.paths, _costs)
    have = {(setting, method) for setting, method, _ in _entries(project)}
    assert {(row.setting, row.method) for row in rows(3) if row.benchmark == "nyud"} <= have
    assert {("full", "constant"), ("full", "mtl_baseline"), ("full", "diffusion_feature")} <= have


def test_the_markdown_says_what_made_it(project: Project) -> None:
    write_report(for_report(project), project.paths, _costs)
    text = (project.paths.reports() / "table3.md").read_text()
    assert "synthetic scenes" in text
    assert "not comparable with the paper" in text
    assert "**42.00 ± 2.83** (44.47)" in text
    assert "84.00 → 42.00" in text
    assert "another network" in text
    for part in text.split("## ")[1:]:
        widths = {line.count("|") for line in part.splitlines() if line.startswith("|")}
        assert len(widths) == (2 if "→" in part else 1)


def test_the_summary_has_short_names_for_dvc(project: Project) -> None:
    write_report(for_report(project), project.paths, _costs)
    summary = json.loads((project.paths.reports() / "summary.json").read_text())
    assert summary == {"nyud-one-F": pytest.approx(5)}


def test_equal_results_give_equal_bytes(project: Project) -> None:
    contents = []
    for _ in range(2):
        write_report(for_report(project), project.paths, _costs)
        written = [*project.paths.reports().iterdir(), project.paths.curves()]
        contents.append({p.name: p.read_bytes() for p in written})
    assert contents[0] == contents[1]
    tables = [f"table{table}.{kind}" for table in (3, 6) for kind in ("csv", "md", "tex")]
    assert sorted(contents[0]) == ["curves.csv", "index.html", "steps.csv", "summary.json", *tables]


@pytest.mark.parametrize("folder", [".", "study"])
def test_a_report_of_one_benchmark_is_all_that_dvc_asks_for(project: Project, folder: str) -> None:
    """However few tables the grid has: an output that is missing would be the end of the stage."""
    write_report(for_report(project), project.paths, _costs)
    content = yaml.safe_load((ROOT / folder / "dvc.yaml").read_text())
    outs = [out if isinstance(out, str) else next(iter(out)) for out in content["stages"]["report"]["outs"]]
    assert len(outs) == 2
    for name in [*outs, *(metric.removeprefix("../") for metric in content["metrics"])]:
        assert (project.paths.root / name.replace("${scale}", project.paths.scale)).exists(), name


def test_a_method_without_a_title_shows_its_name(project: Project) -> None:
    """Trained or not; its rows follow those that the grid lists."""
    grid = for_report(project)
    untitled = ("xtc", "diffusion_feature", "constant")
    grid = grid.model_copy(update={"methods": {m: entry for m, entry in grid.methods.items() if m not in untitled}})
    write_report(grid, project.paths, _costs, default_steps=2)
    text = (project.paths.reports() / "table3.md").read_text()
    page = (project.paths.reports() / "index.html").read_text()
    for method in untitled:
        assert f"| {method} |" in text
        assert f'<th scope="row">{method}</th>' in page
    assert text.index("Single-Task") < text.index("MTL Baseline") < text.index("| diffusion_feature |")


def test_published_figures_are_complete() -> None:
    """Every row of the paper's tables has a figure for each of its tasks."""
    tasks = {"pascal": 5, "nyud": 3, "cityscapes": 2}
    for table in (1, 2, 3, 4, 5):
        for row in rows(table, "paper"):
            assert sum(bool(task) for task, _ in figures(table, row)) == tasks[row.benchmark]
    assert figures(3, Row("nyud", "onelabel", "diffusion_feature", "resnet18"))["", "delta_m"] == -2.27
    assert {p.source for p in published()} == {"paper", "[6]"}


def test_delta_in_the_table_is_the_metrics(project: Project) -> None:
    write_report(for_report(project), project.paths, _costs)
    single = {"semseg": 40, "depth": 0.5, "normals": 25}
    seeds = [delta_m(s, single, {"depth", "normals"}) for s in ({"semseg": 44, "depth": 0.45, "normals": 22.5}, single)]
    assert float(_entries(project)["onelabel", "diffusion_feature", ""]["ours"]) == pytest.approx(statistics.mean(seeds))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project's own grid with a made-up result for every cell."""
    project = Project(write_project(tmp_path_factory.mktemp("whole"), tiny_params()))
    rng = random.Random(0)
    for key, cell in for_report(project).cells.items():
        tasks = random_scores(cell.benchmark, rng)
        initial = {task: {name: value * 0.9 for name, value in scores.items()} for task, scores in tasks.items()}
        diffusion = cell.family == "diffusion"
        history = (
            [{"network": "all", "epoch": e, "losses": {"total": 3 / e}} for e in (1, 2)] if cell.method != "constant" else []
        )
        metrics = {"final": tasks, "initial": initial if diffusion else None}
        content = {"cell": key, "scale": "demo", "seed": 0, "fingerprint": "ab" * 32, "history": history, "metrics": metrics}
        write_json(project.paths.result(key), content)
    write_report(for_report(project), project.paths, _costs)
    return project


def test_no_field_of_ours_is_empty_once_all_cells_ran(whole: Project) -> None:
    """But for Delta_m of the reference itself, and memory, which a GPU must measure."""
    for path in whole.paths.reports().glob("table*.csv"):
        for entry in csv.DictReader(path.read_text().splitlines()):
            reference = entry["metric"] == "delta_m" and entry["method"] == "single_task"
            memory = entry["metric"] == "train_memory_mb"
            assert bool(entry["ours"]) != (reference or memory or not _trained(whole, entry)), entry


def _trained(project: Project, entry: dict[str, str]) -> bool:
    row = Row(entry["benchmark"], entry["setting"], entry["method"], entry["backbone"])
    return row in {row_of(cell) for cell in for_report(project).cells.values()}


def test_every_format_holds_every_number(whole: Project) -> None:
    folder = whole.paths.reports()
    page = (folder / "index.html").read_text()
    for path in folder.glob("table*.csv"):
        markdown, latex = (path.with_suffix(kind).read_text() for kind in (".md", ".tex"))
        for entry in csv.DictReader(path.read_text().splitlines()):
            if entry["ours"] and entry["task"]:
                shown = columns_of(entry["benchmark"])[entry["task"], entry["metric"]].form(float(entry["ours"]))
                assert shown in markdown
                assert shown in latex
                assert shown in page


def test_a_table_lists_our_own_rows_of_its_networks_alone(whole: Project) -> None:
    lines = {n: list(csv.DictReader((whole.paths.reports() / f"table{n}.csv").read_text().splitlines())) for n in (2, 3)}
    assert {entry["backbone"] for entry in lines[3]} == {"resnet18"}
    single = {(entry["method"], entry["backbone"]) for entry in lines[2] if entry["method"] == "single_task"}
    assert single == {("single_task", "resnet50")}  # what Delta_m of the ResNet-50 rows needs


def test_the_best_of_a_setting_is_bold(whole: Project) -> None:
    entries = [e for p in whole.paths.reports().glob("table3.csv") for e in csv.DictReader(p.read_text().splitlines())]
    rows = [e for e in entries if (e["benchmark"], e["setting"], e["task"]) == ("nyud", "onelabel", "normals") and e["ours"]]
    best = min(float(e["ours"]) for e in rows)
    text = (whole.paths.reports() / "table3.md").read_text()
    assert f"**{best:.2f}**" in text


def test_latex_is_balanced(whole: Project) -> None:
    for path in whole.paths.reports().glob("table*.tex"):
        text = path.read_text()
        assert text.count("{") == text.count("}")
        assert text.count(r"\begin{") == text.count(r"\end{")
        body = [line for line in text.splitlines() if line.endswith(r"\\")]
        starts = [line for line in text.splitlines() if line.startswith(r"\begin{tabular}")]
        assert {line.count(" & ") + 1 for line in body} == {
            line.rpartition("{")[2].count("l") + line.rpartition("{")[2].count("r") for line in starts
        }


def test_the_page_is_whole_and_needs_no_network(whole: Project) -> None:
    text = (whole.paths.reports() / "index.html").read_text()
    assert problems(text) == []
    links = re.findall(r'<a [^>]*href="([^"#]+)"', text)
    outward = [link for link in links if "://" in link]
    assert outward == ["https://prismformore.github.io/diffusionmtl/"]  # followed by who clicks on it, and nobody else
    for link in set(links) - set(outward):  # to what the report wrote, or two folders up to the clone's own files
        assert ((ROOT / link.removeprefix("../../")) if link.startswith("../") else whole.paths.reports() / link).is_file(), link
    fetched = re.sub(r'<a href="https://prismformore[^"]*"', "", text.replace("http://www.w3.org", ""))
    assert not re.search(r"(src|href)=.https?:", fetched)
    assert "Not comparable with the paper" in text
    assert len(text) < 5_000_000
