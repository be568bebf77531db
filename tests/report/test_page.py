"""The page as people use it: structure, what is missing, costs, charts; the checkers of the web where they are installed."""

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers.galleries import made_up
from helpers.page_structure import problems
from helpers.project import tiny_params, write_project
from helpers.results import random_scores
from matplotlib.axes import Axes

from dmtl.benchmarks import benchmark
from dmtl.config import Project, for_report
from dmtl.files import write_json
from dmtl.report import charts
from dmtl.report.costs import CostReport, NetworkCost
from dmtl.report.missing import missing
from dmtl.report.page import Content
from dmtl.report.page import page as page_of
from dmtl.report.results import load_results
from dmtl.report.tables import write_report

LEFT_OUT = ("nyud-onelabel-xtc", "pascal-full-single_task", "cityscapes-onelabel-diffusion_prediction-steps3")
COSTS = CostReport(
    [NetworkCost("nyud", "resnet18", "invpt", 75.2, 3.0, 1181.1, 141.0, None, 2, 49.2)],
    [("Table 1", 4.6, 6), ("whole grid", 373.4, 56)],
    2e13,
    "Assumed: nothing waits.\nNot counted: evaluation.",
    ["invpt: <for a reason>"],
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Made-up results at scale paper: all cells but three, a second seed, pictures of two benchmarks."""
    folder = write_project(tmp_path_factory.mktemp("page"), tiny_params())
    params = yaml.safe_load((folder / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(params | {"scale": "paper"}))
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    grid["cells"]["nyud-onelabel-mtl_baseline-seed1"] = grid["cells"]["nyud-onelabel-mtl_baseline"] | {"seed": 1}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    project, rng = Project(folder), random.Random(0)
    for key, cell in for_report(project).cells.items():
        if key in LEFT_OUT:
            continue
        networks = benchmark(cell.benchmark).outputs if cell.method == "single_task" else ["all"]
        history = [{"network": n, "epoch": e, "losses": {"total": rng.uniform(1, 9) / e}} for n in networks for e in range(1, 13)]
        metrics = {"final": random_scores(cell.benchmark, rng), "initial": None}
        metrics["initial"] = random_scores(cell.benchmark, rng) if cell.family == "diffusion" else None
        content = {"cell": key, "scale": "paper", "seed": cell.seed, "fingerprint": "ab" * 32, "history": history}
        write_json(project.paths.result(key), content | {"metrics": metrics})
    for name in ("nyud", "pascal"):
        for method in ("mtl_baseline", "xtc", "diffusion_prediction"):
            made_up(name, method, 2).save(project.paths.gallery(f"{name}-onelabel-{method}"))
    write_report(for_report(project), project.paths, lambda _: {"params_m": 1.0, "flops_g": 2.0}, cost_report=COSTS)
    return project


@pytest.fixture(scope="module")
def page(project: Project) -> str:
    return (project.paths.reports() / "index.html").read_text(encoding="utf-8")


def test_the_page_has_no_fault_of_structure(page: str) -> None:
    assert problems(page) == []
    assert len(page) < 5_000_000


GOOD = '<html lang="en"><head><style>a{}</style></head><body><h1>x</h1>{}</body></html>'


@pytest.mark.parametrize(
    ("html", "told"),
    [
        ("<img src='data:,'>", "img without alt"),
        ("<img alt='x' src='https://x/y.png'>", "fetches something"),
        ("<link href='x.css'>", "fetches something"),
        ("<style>b{}</style>", "style outside head"),
        ("<h3>x</h3>", "h3 after h1"),
        ("<h1>x</h1>", "2 h1"),
        ("<i id='a'></i><i id='a'></i>", "2 times"),
        ("<a href='#b'>x</a>", "nothing has the id b"),
        ("<table><tr><th scope='col'>x</th></tr></table>", "table without caption"),
        ("<table><caption>x</caption><tr><th>x</th></tr></table>", "th without scope"),
        ("<input>", "input without a label"),
        ("<div class='scroll'></div>", "by mouse alone"),
        ("<i tabindex='2'></i>", "changes the order"),
        ("<b><i></b></i>", "closes nothing"),
        ("<div>", "closes nothing"),
    ],
)
def test_faults_of_structure_are_found(html: str, told: str) -> None:
    assert problems(GOOD.replace("{}</body>", "</body>")) == []
    assert any(told in problem for problem in problems(GOOD.replace("{}</body>", f"{html}</body>")))


def test_differences_from_the_paper_say_better_or_worse_without_colour(page: str) -> None:
    told = re.findall(
        r'<span class="(better|worse)"><span aria-hidden="true">(.)</span> ([+-])[\d.]+ <span class="hidden">(\w+)', page
    )
    assert {(kind, arrow, kind == word) for kind, arrow, _, word in told} == {("better", "▲", True), ("worse", "▼", True)}
    assert {(kind, sign) for kind, _, sign, _ in told} == {(k, s) for k in ("better", "worse") for s in "+-"}  # both directions
    assert " ± " in page
    assert "standard deviation over seeds" in page


def test_what_is_missing_says_why_and_how_to_fill_it(project: Project, page: str) -> None:
    gaps = list(missing(for_report(project), load_results(for_report(project), project.paths), [], ["nyud"], "paper"))
    texts = [gap.text for gap in gaps]
    xtc = next(gap for gap in gaps if "XTC*" in gap.text)
    assert xtc.text.startswith("Table 3, NYUD: 1 of ")
    assert xtc.command == "dvc exp run -S scale=paper $(python -m dmtl cells --table 3)"
    assert "Table 5, PASCAL: no Δm for full, resnet18, since Single-Task has no result there." in texts
    assert any(text.startswith("Table 4, PASCAL: training memory") for text in texts)
    pictures = [text for text in texts if text.startswith("Test images")]
    assert [text.split()[3] for text in pictures] == ["PASCAL:", "Cityscapes:"]
    assert any(text.startswith("Diffusion steps (Fig. 6): ") for text in texts)
    section = page[page.index('<section id="missing">') :]
    assert "Diffusion steps (Fig. 6): 1 of 11 cells" in section
    assert "<code>dvc exp run -S scale=paper $(python -m dmtl cells --table 3)</code>" in section
    assert "Test images of Cityscapes" in section
    assert "Test images of NYUD" not in section


@pytest.mark.parametrize(
    ("scale", "order"),
    [("study", ["claims", "frames", "images", "table1"]), ("demo", ["claims", "frames", "table1", "images"])],
)
def test_real_images_begin_with_verdicts_and_pictures(root: Path, scale: str, order: list[str]) -> None:
    """On the page and in its contents."""
    claims, pictures, frames = (f'<section id="{name}"></section>' for name in ("claims", "images", "frames"))
    text = page_of(Content(for_report(Project(root)), scale, {1: []}, [], {}, [], [], pictures, claims, frames=frames))
    assert [part for part in re.findall(r'<section id="(\w+)"', text) if part in order] == order
    assert [part for part in re.findall(r'<li><a href="#(\w+)"', text) if part in order] == order


@pytest.mark.parametrize(("scale", "up"), [("demo", "../../"), ("paper", "../../"), ("study", "../../../")])
def test_the_page_leads_to_the_paper_and_the_code(root: Path, scale: str, up: str) -> None:
    folder = "study" if scale == "study" else "."
    text = page_of(Content(for_report(Project(root / folder)), scale, {}, [], {}, [], []))
    assert 'href="https://prismformore.github.io/diffusionmtl/"' in text
    for file in ("README.md", "docs/paper.md"):
        assert f'href="{up}{file}"' in text
        assert (Project(root / folder, scale=scale).paths.reports() / up / file).resolve() == (root / file).resolve()
    assert "README.md" not in page_of(Content(for_report(Project(root)), "own", {}, [], {}, [], []))


def test_costs_are_shown_beside_the_papers(page: str) -> None:
    section = page[page.index('<section id="costs">') : page.index('<section id="images"')]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section))
    assert "NYUD resnet18 InvPT 75.2 paper 141 3.0 1181.1 2 49.2" in text
    assert "whole grid 56 373.4" in text
    assert "none was measured" in text
    assert "&lt;for a reason&gt;" in section


def test_series_are_told_apart_without_colour() -> None:
    looks = [charts._look(number) for number in range(28)]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == 28
    assert len({look["color"] for look in looks[:7]}) == 7


def test_a_series_looks_the_same_in_every_panel_and_stands_in_the_legend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that the first panel lacks."""
    drawn: dict[str, set[str]] = {}
    plot = Axes.plot

    def noted(self: object, x: object, y: object, **look: object) -> object:
        drawn.setdefault(str(y), set()).add(f"{look['color']} {look['marker']} {look['linestyle']}")
        return plot(self, x, y, **look)

    monkeypatch.setattr(Axes, "plot", noted)
    a, b = ([1, 2], [3.0, 2.0]), ([1, 2], [5.0, 4.0])
    images = charts.line_charts({"one": {"A": a}, "two": {"B": b, "A": a}}, "epoch", order=["Z", "B"], log=True)
    assert [image.alt for image in images] == ["one", "two", "legend: B, A"]
    assert all(len(looks) == 1 for looks in drawn.values())
    assert drawn[str(a[1])] != drawn[str(b[1])]
    assert len(charts.line_charts({"one": {"A": a}}, "epoch")) == 1  # a single series needs no legend


@pytest.mark.long
def test_the_checkers_of_the_web_find_nothing(project: Project, root: Path, tmp_path: Path) -> None:
    """HTML validators, axe-core, a browser's console and network, at three sizes (bench/page/check.mjs)."""
    tools = root / "bench" / "page"
    packages = Path(os.environ.get("PAGE_TOOLS", tools))
    if not (shutil.which("node") and shutil.which("chromium") and (packages / "node_modules").is_dir()):
        pytest.skip("needs node, chromium and the packages of bench/page (npm install there)")
    command = ["node", str(tools / "check.mjs"), str(project.paths.reports() / "index.html"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"desktop.png", "phone.png", "dark.png", "print.pdf"}
