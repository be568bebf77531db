"""The notebook of the docs, cell by cell, on networks with random weights: the last expression of a cell is what it shows."""

import ast
import json
from pathlib import Path

import pytest
from helpers.models import random_model
from helpers.project import ROOT
from helpers.results import nyud_statistics
from PIL import Image

from dmtl.config import Project

CELLS = ("nyud-onelabel-diffusion_prediction", "nyud-onelabel-mtl_baseline", "nyud-onelabel-single_task")
NOTEBOOK = json.loads((ROOT / "docs" / "first-photo.ipynb").read_text(encoding="utf-8"))


@pytest.fixture
def evaluated(tiny: Path) -> Path:
    """The tiny project with the cells that the notebook asks for."""
    project = Project(tiny)
    for number, key in enumerate(CELLS):
        random_model(project.paths.model(key), key, (32, 64))
        nyud_statistics(number, 30, 0.5 + 0.2 * (number == 0)).save(project.paths.statistics(key))
    return tiny


def _run(source: str, names: dict) -> object:
    """What a cell's last expression is."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def test_the_notebook_goes_from_a_photo_to_a_comparison(
    evaluated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(evaluated)
    opened: list[tuple[int, int]] = []
    monkeypatch.setattr(Image.Image, "show", lambda image: opened.append(image.size))  # no viewer
    names: dict = {}
    shown = [_run("".join(cell["source"]), names) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert shown[1] == (32, 64, 3)
    assert set(names["prediction"].units) == {"semseg", "depth", "normals"}
    assert len(opened) == 1
    text = capsys.readouterr().out
    assert text.startswith("from ")
    assert f"a  {CELLS[0]}, seed 0" in text
    assert "On semseg a is better." in text


def test_the_notebook_is_stored_without_outputs_and_names_its_cells() -> None:
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert all(f"evaluate@{key}" in "".join(NOTEBOOK["cells"][0]["source"]) for key in CELLS)
