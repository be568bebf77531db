"""What `dvc plots show` draws."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from dmtl.config import Project
from dmtl.report.results import Run
from dmtl.report.steps import StepsCell
from dmtl.report.tables import CURVES, curves

COLUMNS = {"curves": set(CURVES), "steps": {field.name for field in fields(StepsCell)}}


@pytest.mark.parametrize("folder", [".", "study"])
def test_every_plot_is_of_a_file_and_columns_that_the_report_writes(root: Path, folder: str) -> None:
    content = yaml.safe_load((root / folder / "dvc.yaml").read_text())
    paths = Project(root / folder).paths
    files = {"curves": paths.curves(), "steps": paths.reports() / "steps.csv"}
    for plot in content["plots"]:
        [(path, about)] = plot.items()
        assert (root / folder / path.replace("${scale}", paths.scale)).resolve() == files[about["template"]]
        assert {about["x"], about["y"]} <= COLUMNS[about["template"]]
        assert (root / folder / ".dvc" / "plots" / f"{about['template']}.json").is_file()


@pytest.mark.parametrize("name", COLUMNS)
def test_a_template_draws_columns_that_are_there(root: Path, name: str) -> None:
    template = json.loads((root / ".dvc" / "plots" / f"{name}.json").read_text())
    encoding = template["spec"]["encoding"]
    assert {encoding[axis]["field"] for axis in ("x", "y", "color")} <= COLUMNS[name]
    assert encoding["strokeDash"]["field"] == "rev"
    assert template["data"]["values"] == "<DVC_METRIC_DATA>"


def test_a_curve_has_a_row_an_epoch_and_network(root: Path) -> None:
    key = "nyud-onelabel-single_task"
    epochs = [("depth", 1, 2.0), ("depth", 2, 1.0), ("all", 1, 3.0)]
    history = [{"network": network, "epoch": epoch, "losses": {"total": loss}} for network, epoch, loss in epochs]
    rows = list(curves([Run(key, Project(root).cell(key), 0, "", history)]))
    assert [dict(zip(CURVES, row, strict=True))["loss"] for row in rows] == [2.0, 1.0, 3.0]
    assert [row[4:6] for row in rows] == [("depth", 1), ("depth", 2), ("", 1)]
