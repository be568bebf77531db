"""What `dvc plots show` draws."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer
from helpers.project import ROOT

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


def test_the_offline_page_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for Vega, whose package is not installed here: the template is one of DVC's, without its scripts."""
    module = importlib.util.spec_from_file_location("offline_plots", ROOT / "bench" / "offline_plots.py")
    assert module is not None
    assert module.loader is not None
    offline = importlib.util.module_from_spec(module)
    module.loader.exec_module(offline)
    bundle = SimpleNamespace(javascript_bundle=lambda snippet, vl_version: f"var vegaEmbed = 1; {snippet} '</script>'")
    monkeypatch.setitem(sys.modules, "vl_convert", bundle)
    told: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: told.append(command))
    file = offline.write_template(tmp_path)
    assert told == [["dvc", "config", "--local", "plots.html_template", "plots/offline.html"]]
    assert file == tmp_path / ".dvc" / "plots" / "offline.html"  # DVC takes the name from there
    page = HTML(file.read_text()).with_scripts(VegaRenderer.SCRIPTS).with_element("<p>chart</p>").embed()
    assert "https://" in HTML().with_scripts(VegaRenderer.SCRIPTS).with_element("").embed()
    assert "https://" not in page
    assert "<p>chart</p>" in page
    assert page.count("</script>") == 1
    for folder in (ROOT, ROOT / "study"):
        assert "/plots/offline.html" in (folder / ".dvc" / ".gitignore").read_text().split()
