"""A report of trainings that took other parameters than params.yaml has now."""

import csv
from pathlib import Path

import pytest
import yaml
from helpers.project import tiny_params, write_project

from dmtl.config import Project, for_report, resolve
from dmtl.files import write_json
from dmtl.report.changed import changes
from dmtl.report.costs import Costs
from dmtl.report.results import load_runs, row_of
from dmtl.report.tables import write_report

CELL = "cityscapes-onelabel-diffusion_prediction"
SINGLE = "cityscapes-onelabel-single_task"
METRICS = {"final": {"semseg": {"miou": 50.0}, "depth": {"abs_error": 0.02}}, "initial": None}


def _with_steps(project: Project, steps: int) -> Project:
    """The project with another number of diffusion steps in params.yaml."""
    params = yaml.safe_load((project.paths.root / "params.yaml").read_text())
    params["diffusion"]["steps"] = steps
    (project.paths.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return Project(project.paths.root, scale=project.paths.scale)


def _today(project: Project) -> dict[str, dict]:
    return {key: resolve(project, cell).model_dump(mode="json") for key, cell in for_report(project).cells.items()}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two cells and one that pins its steps, trained with 3 steps where none is pinned; params.yaml has 6 now."""
    folder = write_project(tmp_path, tiny_params())
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    keys = (CELL, SINGLE, f"{CELL}-steps1")
    grid |= {"benchmarks": ["cityscapes"], "cells": {key: grid["cells"][key] for key in keys}, "gradients": {}, "extra": {}}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    project = _with_steps(Project(folder), 3)
    for key in keys:
        training = resolve(project, project.cell(key)).model_dump(mode="json")
        content = {"cell": key, "scale": "demo", "seed": 0, "metrics": METRICS, "training": training}
        write_json(project.paths.result(key), content)
    return _with_steps(project, 6)


def test_only_what_would_be_trained_with_others_is_told(project: Project) -> None:
    grid, today = for_report(project), _today(project)
    changed = changes(load_runs(grid, project.paths), today)
    assert changed == {row_of(grid.cells[CELL]): ["options.steps 3, now 6"]}
    result = project.paths.result(CELL)
    write_json(result, {"cell": CELL, "scale": "demo", "seed": 0, "metrics": METRICS})  # of a version that kept no configuration
    assert changes(load_runs(grid, project.paths), today) == {}


def test_the_report_marks_them_and_shows_what_was_trained(project: Project) -> None:
    write_report(for_report(project), project.paths, None, default_steps=6, today=_today(project))
    folder = project.paths.reports()
    note = "† DiffusionMTL (Prediction) (one): trained with other parameters than would be taken now: options.steps 3, now 6."
    for text in ((folder / "table1.md").read_text(), (folder / "index.html").read_text()):
        assert note in text
        assert "DiffusionMTL (Prediction) †" in text
        assert "Single-Task †" not in text
    assert r"DiffusionMTL (Prediction) $\dagger$" in (folder / "table1.tex").read_text()
    with (folder / "steps.csv").open(encoding="utf-8") as file:
        assert {line["steps"] for line in csv.DictReader(file)} == {"1", "3"}


def test_costs_are_of_what_was_trained(project: Project) -> None:
    """With 6 steps now, a network that was trained with 3 costs what one with 3 costs."""
    cell, paper = project.cell(CELL), Project(project.paths.root, scale="paper")
    trained = {run.key: run.training["options"] for run in load_runs(for_report(project), project.paths)}
    flops = {
        name: costs.figures(cell)["flops_g"]
        for name, costs in {
            "trained": Costs(paper, trained),
            "today": Costs(paper),
            "unknown": Costs(paper, {CELL: {"steps": 3, "gone": 1}}),  # of another version: today's
            "three": Costs(_with_steps(paper, 3)),
        }.items()
    }
    assert flops["trained"] == flops["three"] < flops["today"] == flops["unknown"]


def test_at_the_scale_of_training_the_width_is_that_of_the_training(project: Project) -> None:
    """A recipe that has twice the width now counts the network that was trained."""
    cell, recipes = project.cell(CELL), {run.key: run.training["recipe"] for run in load_runs(for_report(project), project.paths)}
    before = Costs(project).figures(cell)["params_m"]
    params = yaml.safe_load((project.paths.root / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["cityscapes"]["width"] *= 2
    (project.paths.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    wider = Project(project.paths.root)
    assert Costs(wider, recipes=recipes).figures(cell)["params_m"] == before
    assert Costs(wider).figures(cell)["params_m"] > before
    assert Costs(wider, recipes={CELL: {"gone": 1}}).training(cell).recipe.width == 2 * recipes[CELL]["width"]
