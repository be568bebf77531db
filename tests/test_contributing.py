"""The worked examples of CONTRIBUTING.md, done in a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, tiny_params

HEADER = r"# (?P<file>\S+?\.(?:py|yaml))(?:, after \"(?P<after>[^\n]*)\")?"
BLOCK = re.compile(rf"^```(?:python|yaml)\n{HEADER}\n(?P<text>.*?)^```$", re.M | re.S)


def _section(title: str) -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return text.partition(f"\n### {title}\n")[2].partition("\n### ")[0].partition("\n## ")[0]


def _follow(section: str, folder: Path) -> list[str]:
    """Do what the blocks of a section say; returns the files that were made or changed."""
    touched = []
    for block in BLOCK.finditer(section):
        path = folder / block["file"]
        if block["after"] is None:
            assert not path.exists(), f"{path} is there already"
            path.write_text(block["text"])
        else:
            lines = path.read_text().splitlines(keepends=True)
            place = next(k for k, line in enumerate(lines) if line.startswith(block["after"]))
            lines.insert(place + 1, block["text"])
            path.write_text("".join(lines))
        touched.append(block["file"])
    return touched


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's code with the tests' tiny parameters."""
    for name in ("dmtl", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "grid.yaml", tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params(), sort_keys=False))
    return tmp_path


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_method_is_added(copy: Path) -> None:
    """The stages train and evaluate it, the report has its title."""
    assert _follow(_section("A method"), copy) == [
        "dmtl/models/mtl_shallow.py",
        "grid.yaml",
        "grid.yaml",
        "dmtl/report/entries.py",
    ]
    for stage, argument in (("download", "nyud"), ("shards", "nyud"), ("train", "nyud-full-mtl_shallow")):
        _run(copy, f"stages/{stage}.py", argument)
    _run(copy, "stages/evaluate.py", "nyud-full-mtl_shallow")
    assert (copy / "results/demo/nyud-full-mtl_shallow.json").exists()
    title = "from dmtl.report.entries import METHODS; print(METHODS['mtl_shallow'])"
    assert _run(copy, "-c", title) == "MTL Baseline, shallow\n"


def test_a_benchmark_is_added(copy: Path) -> None:
    """Its synthetic images become shards with its two tasks and every setting's masks."""
    params = yaml.safe_dump(tiny_params(), sort_keys=False)
    assert "\n    data:\n" in params
    _follow(_section("A benchmark"), copy)
    small = (copy / "params.yaml").read_text().replace("size: [48, 64], train: 48, val: 32", "size: [32, 64], train: 3, val: 1")
    (copy / "params.yaml").write_text(small)
    for stage in ("download", "shards"):
        _run(copy, f"stages/{stage}.py", "offices")
    said = _run(
        copy,
        "-c",
        "from dmtl.data.shards import Shard; s = Shard('data/shards/demo/offices/train.h5');"
        "print(s.outputs, len(s), s.mask('onelabel').sum(), s.label('depth', 0).shape)",
    )
    assert said == "{'semseg': 13, 'depth': 1} 3 3 (32, 64)\n"


def test_a_task_is_added(copy: Path) -> None:
    """It has a loss, a metric and a kind of map."""
    _follow(_section("A task"), copy)
    said = _run(
        copy,
        "-c",
        "import torch; from dmtl.losses import task_loss; from dmtl.metrics import metric_for;"
        "from dmtl.evaluation.maps import kind;"
        "p, y = torch.full((1, 2, 2), 3.0), torch.tensor([[[1.0, 2.0], [4.0, 255.0]]]);"
        "m = metric_for('shading', 1);"
        "print(float(task_loss('shading', p, y)), float(m.scores(m.of_image(p, y))['abs_error']), kind('shading'))",
    )
    loss, error, kind = said.split()
    assert float(loss) == pytest.approx(4 / 3)
    assert float(error) == pytest.approx(4 / 3)
    assert kind == "depth"


def test_every_block_says_where_it_goes() -> None:
    """No code in CONTRIBUTING.md is left out of the tests above."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    fenced = len(re.findall(r"^```(?:python|yaml)$", text, re.M))
    followed = sum(len(BLOCK.findall(_section(title))) for title in ("A method", "A benchmark", "A task"))
    assert fenced == followed > 0
