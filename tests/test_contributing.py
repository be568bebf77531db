"""The worked examples of CONTRIBUTING.md, done in a copy of the project."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT, tiny_params
from helpers.stages import run_in_one_process

from dmtl.benchmarks import benchmark

HEADER = r"# (?P<file>\S+?\.(?:py|yaml))(?:, after \"(?P<after>[^\n]*)\")?"
BLOCK = re.compile(rf"^```(?:python|yaml)\n{HEADER}\n(?P<text>.*?)^```$", re.M | re.S)
SECTIONS = ("A method", "A benchmark", "A kind of task")


def _section(title: str) -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return text.partition(f"\n### {title}\n")[2].partition("\n### ")[0].partition("\n## ")[0]


def _follow(section: str, folder: Path) -> set[str]:
    """Do what the blocks of a section say; returns the files that were made or changed."""
    touched = set()
    for block in BLOCK.finditer(section):
        path = folder / block["file"]
        if block["after"] is None:
            assert not path.exists(), f"{path} is there already"
            path.parent.mkdir(exist_ok=True)
            path.write_text(block["text"])
        else:
            lines = path.read_text().splitlines(keepends=True)
            place = next(k for k, line in enumerate(lines) if line.startswith(block["after"]))
            lines.insert(place + 1, block["text"])
            path.write_text("".join(lines))
        touched.add(block["file"])
    return touched


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's code with the tests' tiny parameters."""
    for name in ("dmtl", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "grid.yaml", tmp_path)
    params = tiny_params()
    del params["scales"]["paper"]  # the report then counts no networks of that size
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return tmp_path


def _stages(benchmark: str, cell: str) -> list[list[str]]:
    """The commands that make a cell's results."""
    pairs = (("download", benchmark), ("shards", benchmark), ("train", cell), ("evaluate", cell))
    return [[f"stages/{stage}.py", argument] for stage, argument in pairs]


@pytest.mark.long
def test_a_method_is_added(copy: Path) -> None:
    """One file and lines in grid.yaml: the stages train and evaluate it, the report has its title."""
    assert _follow(_section("A method"), copy) == {"dmtl/models/mtl_shallow.py", "grid.yaml"}
    run_in_one_process(copy, *_stages("nyud", "nyud-full-mtl_shallow"), ["stages/report.py"])
    assert (copy / "results/demo/nyud-full-mtl_shallow.json").exists()
    assert "MTL Baseline, shallow" in (copy / "reports/demo/table3.md").read_text()


@pytest.fixture
def offices(copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy with the worked benchmark, and local files for it."""
    assert _follow(_section("A benchmark"), copy) == {"dmtl/benchmarks/offices/__init__.py", "params.yaml", "grid.yaml"}
    grid = (copy / "grid.yaml").read_text()
    (copy / "grid.yaml").write_text(grid.replace("benchmarks: [", "benchmarks: [offices, ", 1))
    for split, count in (("train", 4), ("val", 2)):
        benchmark("nyud").synthesise(copy / "photos", split, count, 0)
    monkeypatch.setenv("DMTL_OFFICES", str(copy / "photos"))
    return copy


@pytest.mark.long
def test_a_benchmark_is_added_from_local_files(offices: Path) -> None:
    """One folder and lines in params.yaml and grid.yaml: shards, masks of every setting, a training and its scores."""
    cell = "offices-onelabel-mtl_baseline"
    look = (
        "from dmtl.data.shards import Shard; s = Shard('data/shards/demo/offices/train.h5');"
        "print(s.outputs, len(s), [s.label_mask(n).sum() for n in ('onelabel', 'full')], s.label('depth', 0).shape)"
    )
    *_, shown, data = run_in_one_process(offices, *_stages("offices", cell), ["-c", look], ["-m", "dmtl", "data"])
    assert shown.replace("np.uint64", "").replace("(4)", "4").replace("(8)", "8") == (
        "{'semseg': 13, 'depth': 1} 4 [4, 8] (32, 64)\n"
    )
    assert (offices / f"results/demo/{cell}.json").exists()
    assert "label masks: drawn with the seed" in data


@pytest.mark.long
def test_a_kind_of_task_is_added(offices: Path) -> None:
    """One file, which a benchmark names: its loss is trained, and shards, models and results say of which kind a task is."""
    assert _follow(_section("A kind of task"), offices) == {"dmtl/tasks/log_depth.py"}
    benchmark = offices / "dmtl/benchmarks/offices/__init__.py"
    text = benchmark.read_text().replace('NYUD.task("depth"))', 'task("distance", 1, kind="log_depth", title="Distance"))')
    text = text.replace(
        "{task.name: sample.labels[task.name] for task in TASKS}",
        '{"semseg": sample.labels["semseg"], "distance": sample.labels["depth"]}',
    )
    benchmark.write_text(text.replace("\nTASKS", "\nfrom dmtl.tasks import task\n\nTASKS", 1))
    params = offices / "params.yaml"
    params.write_text(params.read_text().replace("{semseg: 1.0, depth: 1.0}", "{semseg: 1.0, distance: 1.0}"))
    cell = "offices-onelabel-mtl_baseline"
    look = (
        "import json, math, torch; from dmtl import load_model;"
        f"m = load_model('models/demo/{cell}'); k = m.kinds['distance'];"
        "print(k.name, float(k.loss(torch.full((1, 1, 2, 2), math.e), torch.ones(1, 1, 2, 2))));"
        f"print(list(json.load(open('results/demo/{cell}.json'))['metrics']['final']['distance']))"
    )
    *_, shown = run_in_one_process(offices, *_stages("offices", cell), ["-c", look])
    assert shown.splitlines() == ["log_depth 1.0", "['abs_error', 'rmse', 'rel_error']"]


def test_every_block_says_where_it_goes() -> None:
    """No code in CONTRIBUTING.md is left out of the tests above."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    fenced = len(re.findall(r"^```(?:python|yaml)$", text, re.M))
    assert fenced == sum(len(BLOCK.findall(_section(title))) for title in SECTIONS) > 0
