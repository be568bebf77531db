"""What the README and docs/ state, links, figures, defaults; and their quick commands run on a tiny project."""

import csv
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from helpers.project import ROOT
from PIL import Image

import dmtl
from dmtl.__main__ import main
from dmtl.benchmarks import all_benchmarks, benchmark
from dmtl.config import Project, for_report, for_training
from dmtl.prepare.publications import WEIGHTS
from dmtl.report.costs import Costs, hours_as_text

PAGES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
README = PAGES[ROOT / "README.md"]
PAPER = PAGES[ROOT / "docs" / "paper.md"]
CELL = "nyud-full-constant"
FIRST = ("dvc", "make", "python", "dmtl", "cd")  # how a line of a block may begin


def _blocks() -> list[str]:
    """The README's blocks of commands; the diagram of the stages is none."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
    return [block for language, block in blocks if language in ("", "bash") and not block.startswith("download ->")]


def _param(dotted: str) -> object:
    return Project(ROOT).block(dotted)


def test_every_line_of_a_block_begins_with_a_known_program() -> None:
    lines = [line.strip() for block in _blocks() for line in block.splitlines() if line.strip()]
    assert len(_blocks()) >= 5
    assert not [line for line in lines if not line.startswith(FIRST)]


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_blocks_are_shell() -> None:
    for block in _blocks():
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_the_newcomer_s_script_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    script = str(ROOT / "bench" / "newcomer.sh")
    unknown = subprocess.run(["bash", script, "--cell", "x"], capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert "--cells" in unknown.stderr
    there = subprocess.run(["bash", script, "--clone", str(tmp_path)], capture_output=True, text=True, check=False)
    assert there.returncode == 2
    assert "is there already" in there.stderr


def _headings(text: str) -> set[str]:
    """What a page's headings are called in links."""
    return {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)}


def test_links_lead_somewhere() -> None:
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)]+)\)", text):
            if link.startswith("http"):
                continue
            name, _, heading = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), f"{page.name}: {link}"
            if heading:
                assert heading in _headings(target.read_text(encoding="utf-8")), f"{page.name}: {link}"


def test_quick_commands_run(tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that the pages show, on the tiny project: predict, evaluate, scores, compare, cells, data, mapping."""
    from dmtl.data.shards import Shard
    from dmtl.evaluation.evaluate import evaluate
    from dmtl.files import write_json
    from dmtl.models import build, load_model, read_description, save_weights

    monkeypatch.chdir(tiny)
    project = Project(tiny)
    for cell in ("nyud-full-constant", "nyud-full-mtl_baseline", "nyud-full-single_task"):
        torch.manual_seed(0)
        network = for_training(project, cell).network(benchmark("nyud").outputs)
        folder = tiny / "models" / "demo" / cell
        save_weights(folder, build(network))
        about = {"cell": cell, "scale": "demo", "seed": 0, "benchmark": "nyud", "size": [32, 64]}
        write_json(folder / "model.json", about | {"network": network.model_dump(mode="json")})
        shard = Shard(project.paths.shard("nyud", "val"))
        images = evaluate(load_model(folder), shard, read_description(folder))
        images.save(project.paths.statistics(cell))
        write_json(project.paths.result(cell), images.result())
    (tiny / "holiday").mkdir()
    Image.new("RGB", (50, 40), (90, 120, 30)).save(tiny / "photo.jpg")
    Image.new("RGB", (30, 40), (90, 20, 30)).save(tiny / "holiday" / "b.png")

    def run(line: str) -> str:
        main(shlex.split(line))
        return capsys.readouterr().out

    for line in (
        f"predict photo.jpg holiday/ --model models/demo/{CELL} --out predictions",
        "evaluate models/demo/nyud-full-mtl_baseline --benchmark nyud --share 1/1 --per-image a.npz",
        "data",
        f"compare {CELL} nyud-full-mtl_baseline --draws 100",
    ):
        assert any(f"python -m dmtl {line.split()[0]}" in text for text in PAGES.values()), f"no page has {line.split()[0]}"
        run(line)
    assert (tiny / "predictions" / "photo" / "sheet.png").is_file()
    assert "miou" in run("scores a.npz")
    grid = for_report(project)
    assert run("cells").split() == [f"evaluate@{key}" for key in grid.cells]


def test_names_that_are_downloaded_exist() -> None:
    for name in re.findall(r"dmtl data --get ([a-z-]+)", "".join(PAGES.values())):
        benchmarks = {name for data in all_benchmarks() for name in (data.name, *data.further)}
        assert name in benchmarks | {"mappings", "weights"}, name


def test_downloads_are_as_large_as_listed() -> None:
    listed = {name: publications for data in all_benchmarks() for name, publications in data.further.items()}
    listed |= {"cityscapes": (benchmark("cityscapes").archive,), "weights": tuple(WEIGHTS.values())}
    listed["mappings"] = tuple(file for data in all_benchmarks() if data.masks for file in data.masks.files)
    for name, publications in listed.items():
        size = sum(publication.size or 0 for publication in publications)
        (said,) = re.findall(rf"`{name}` \(([\d.]+ [MG]B)\)", PAGES[ROOT / "docs" / "real-data.md"])
        figure, unit = said.split()
        assert float(figure) * {"MB": 1e6, "GB": 1e9}[unit] == pytest.approx(size, rel=0.1), name


def test_table_1_is_expected_as_printed_and_its_hours_as_counted(paper_costs: Costs) -> None:
    rows = {m[1]: [c.strip() for c in m[2].split("|")] for m in re.finditer(r"^\| `(cityscapes-\S+)` \|(.+)\|$", PAPER, re.M)}
    with (ROOT / "dmtl/report/published.csv").open(encoding="utf-8") as file:
        printed = [line for line in csv.DictReader(file) if line["table"] == "1" and line["source"] == "paper"]
    of_table_1 = list(paper_costs.table(1))
    cells = {key: cell for key, cell in paper_costs.grid.cells.items() if cell in of_table_1}
    assert set(rows) == set(cells)
    for key, cell in cells.items():
        expected = [
            p["value"]
            for m in ("miou", "abs_error", "delta_m")
            for p in printed
            if p["method"] == cell.method and p["metric"] == m
        ]
        assert [figure for figure in rows[key][1:] if re.match(r"-?\d", figure)] == expected
        assert float(rows[key][0]) == pytest.approx(paper_costs.hours(cell, 2e13), abs=0.005)


def test_scales_say_what_they_take(paper_costs: Costs) -> None:
    counted = dict(re.findall(r"^ *(Table \d|whole grid): +([\d.]+)", hours_as_text(paper_costs, 2e13), re.M))
    (row,) = re.findall(r"^\| `paper` \|.*$", PAPER, re.M)
    assert dict(re.findall(r"(Table \d) ([\d.]+\d)", row)) == {k: v for k, v in counted.items() if k != "whole grid"}
    assert re.search(r"(\d+) GPU-hours", row)[1] == f"{float(counted['whole grid']):.0f}"  # type: ignore[index]
    demo, study = (yaml.safe_load((ROOT / name).read_text()) for name in ("params.yaml", "study/params.yaml"))
    (row,) = re.findall(r"^\| `demo` .*$", PAPER, re.M)
    for name, data in demo["scales"]["demo"]["data"].items():
        assert f"{data['train']} + {data['val']} a benchmark" in row
        assert "{}x{}".format(*data["size"]) in row
        assert str(demo["scales"]["demo"]["train"][name]["epochs"]) in row
    (row,) = re.findall(r"^\| `study` .*$", PAPER, re.M)
    of_study = study["scales"]["study"]["train"]["nyud"]
    assert f"width {of_study['width']}, {of_study['epochs']} epochs" in row
    assert f"{len(yaml.safe_load((ROOT / 'study/grid.yaml').read_text())['cells'])} cells" in row
    array = int(re.search(r"--array=0-(\d+)", PAGES[ROOT / "docs" / "scaling.md"])[1])  # type: ignore[index]
    assert array + 1 == len(yaml.safe_load((ROOT / "grid.yaml").read_text())["cells"])


def test_licence_and_citation_are_the_package_s() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["license"], citation["version"]) == (package["license"], dmtl.__version__)
    assert all((ROOT / name).is_file() for name in package["license-files"])
    assert (ROOT / "LICENSE").read_text().startswith(f"{package['license']} License")
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
    weights = next(name for name in package["optional-dependencies"]["timm"] if not name.startswith("timm"))
    assert f"`{weights.partition('==')[0]}`" in notices


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "predictions.png").stat().st_size < 150_000


def test_defaults_stand_in_params() -> None:
    section = PAPER.split("## Defaults where")[1].split("\n## ")[0]
    checked = 0
    for name, default in re.findall(r"^\| `((?:diffusion|multiscale|consistency|optim)\.[\w.]+)` \| ([^|]+) \|", section, re.M):
        value = _param(name)
        if re.fullmatch(r"`?[\w.]+(e-\d)?`?", default.strip()):
            assert str(value) == str(yaml.safe_load(default.strip(" `"))) or float(value) == float(default), name  # type: ignore[arg-type]
            checked += 1
    assert checked >= 10
