"""The claims: verdicts where the truth is known, what was not run, what people read."""

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT
from helpers.results import nyud_statistics

from dmtl.config import Project, for_report
from dmtl.errors import UserError
from dmtl.files import write_json
from dmtl.metrics.per_image import load_per_image
from dmtl.report.claims import against_baseline, claims, widened
from dmtl.report.findings import FAILS, HOLDS, MIXED, NOT_RUN, OPEN, Claim, Finding
from dmtl.report.margins import Margin, margins
from dmtl.report.results import Row, load_results, load_steps, main_backbone
from dmtl.report.tables import write_report

B = "-tf_efficientnet_lite0"
IMAGES = 80
# hit rates of segmentation; the rest is alike in all
HITS = {"single_task": 0.5, "mtl_baseline": 0.3, "xtc": 0.7, "no_diffusion": 0.9}
HITS |= {"diffusion_prediction": 0.7, "diffusion_feature": 0.7}


@pytest.fixture
def study(tmp_path: Path) -> Project:
    """The study's grid, and two cells from scratch, evaluated in part: no `no_conditioning`, seed 1 of two methods alone."""
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "params.yaml").write_text((ROOT / "study" / "params.yaml").read_text())
    grid = yaml.safe_load((ROOT / "study" / "grid.yaml").read_text())
    for method in ("single_task", "mtl_baseline"):
        cell = grid["cells"][f"nyud-onelabel-{method}{B}"] | {"backbone": "resnet18", "scratch": True}
        grid["cells"][f"nyud-onelabel-{method}-scratch"] = cell
    (tmp_path / "study" / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    project = Project(tmp_path / "study")
    for method, hit in HITS.items():
        _evaluated(project, f"nyud-onelabel-{method}{B}", 1, hit)
    _evaluated(project, f"nyud-onelabel-diffusion_prediction{B}-seed1", 1, 0.7)
    _evaluated(project, f"nyud-onelabel-mtl_baseline{B}-seed1", 1, 0.3)
    _evaluated(project, f"nyud-onelabel-constant{B}", 1, 0.4)
    return project


def _evaluated(project: Project, key: str, number: int, hit: float) -> None:
    """Statistics and result file; initial predictions of diffusion methods are worse in segmentation and the same in the rest."""
    found = nyud_statistics(number, IMAGES, hit, *((2.0, 60.0) if "constant" in key else ()))
    if "diffusion" in key:
        worse = nyud_statistics(number, IMAGES, hit - 0.2).tables["final"]["semseg"]
        found = replace(found, tables=found.tables | {"initial": found.tables["final"] | {"semseg": worse}})
    found = replace(found, about={"cell": key, "scale": "study", "seed": project.cell(key).seed})
    found.save(project.paths.statistics(key))
    write_json(project.paths.result(key), found.result() | {"history": []})


def _by_key(project: Project) -> dict[str, Claim]:
    return {claim.key: claim for claim in claims(for_report(project), project.paths)}


def _margins(project: Project) -> list[Margin]:
    grid = for_report(project)
    return margins(grid, load_results(grid, project.paths), load_steps(grid, project.paths))


def test_the_verdicts_are_the_truth(study: Project) -> None:
    """Better by construction holds, worse does not, the same cannot be told, what is missing was not run."""
    found = _by_key(study)
    onelabel = {key: [f for f in claim.findings if f.setting == "onelabel"] for key, claim in found.items()}
    assert [f.verdict for f in onelabel["a"]] == [HOLDS, HOLDS]
    assert [f.verdict for f in onelabel["b"]] == [OPEN, OPEN]
    assert [f.verdict for f in onelabel["c"]] == [FAILS]
    assert [f.verdict for f in onelabel["d"]] == [NOT_RUN]
    refined = {f.task: f.verdict for f in onelabel["f"] if f.a.startswith(f"nyud-onelabel-diffusion_prediction{B} ")}
    assert refined == {"semseg": HOLDS, "depth": OPEN, "normals": OPEN}
    assert {key: found[key].verdict for key in "abcde"} == {"a": HOLDS, "b": OPEN, "c": FAILS, "d": NOT_RUN, "e": NOT_RUN}
    assert found["f"].verdict == OPEN  # on every task: that one is told is not enough
    assert all(f.verdict == NOT_RUN for f in found["a"].findings if f.setting == "randomlabels")


def test_seeds_and_what_an_interval_covers(study: Project) -> None:
    prediction, feature = (f for f in _by_key(study)["a"].findings if f.setting == "onelabel")
    assert (prediction.seeds_a, prediction.seeds_b, prediction.covers) == (2, 2, "images and seeds")
    assert (feature.seeds_a, feature.seeds_b, feature.covers) == (
        1,
        2,
        "images and seeds, a single seed's by the others' deviation of 0.00",
    )
    assert prediction.images == IMAGES


def test_a_single_seed_widens_the_interval() -> None:
    """By what the others' deviation adds to the squared half-width, for each side that has a single seed."""
    finding = Finding("a", "onelabel", "a", "b", "", "delta_m", "%", 1.0, 0.0, 3.0, 0.0, 3.0, 1, 3, 100)
    one = widened(finding, 0.5)
    assert one.low == pytest.approx(1 - math.sqrt(1 + (1.959964 * 0.5) ** 2), abs=1e-5)
    assert one.high == pytest.approx(1 + math.sqrt(4 + (1.959964 * 0.5) ** 2), abs=1e-5)
    both = widened(replace(finding, seeds_b=1), 0.5)
    assert both.high == pytest.approx(1 + math.sqrt(4 + 2 * (1.959964 * 0.5) ** 2), abs=1e-5)
    assert widened(replace(finding, seeds_a=2), 0.5) == replace(finding, seeds_a=2)
    assert widened(finding, None) == finding


@pytest.mark.parametrize(
    ("difference", "low", "high", "says"),
    [
        (1.0, -1.0, 3.0, "not more seeds alone: more than 400 test"),
        (0.1, -2.0, 2.2, "not more seeds, but more than 25 times"),
        (0.0, -1.0, 1.0, "not more seeds, but more than 25"),
        (2.0, 1.0, 3.0, ""),
    ],
)
def test_what_would_settle_it(difference: float, low: float, high: float, says: str) -> None:
    """Seeds add nothing here: to leave zero out takes (half-width / difference) squared as many images."""
    finding = Finding("a", "onelabel", "a", "b", "", "delta_m", "%", difference, low, high, low, high, 3, 3, 100)
    assert finding.settles.startswith(says)
    assert bool(says) == bool(finding.settles)


def test_how_many_seeds_settle_what_seeds_leave_open() -> None:
    """Of a squared half-width 4 the images add 0.5; three seeds show 3.5, of which a bootstrap hides a third.

    To come below a squared difference of 1 takes 3.5 * 3/2 * 3 / (1 - 0.5) = 31.5 seeds.
    """
    half = 0.5**0.5
    finding = Finding("a", "onelabel", "a", "b", "", "delta_m", "%", 1.0, -1.0, 3.0, 1 - half, 1 + half, 3, 3, 100)
    assert finding.settles.startswith("about 32 seeds")
    assert replace(finding, seeds_b=1).settles.startswith("more than one seed")


def test_a_claim_of_every_task_fails_with_one() -> None:
    """And a comparison that was not run is counted and not judged."""

    def on(task: str, low: float, high: float, a: str = "x final") -> Finding:
        return Finding("f", "onelabel", a, "initial", task, "m", "%", (low + high) / 2, low, high, low, high, 1, 1, 9)

    better, worse, unclear = on("semseg", 1, 2), on("depth", -2, -1), on("normals", -1, 2)
    assert Claim("f", "", (better, worse, unclear)).verdict == FAILS
    assert Claim("f", "", (better, unclear)).verdict == OPEN
    assert Claim("f", "", (better,)).verdict == HOLDS
    other = on("semseg", -2, -1, "y final")
    missing = replace(other, a="z final", difference=None, low=None, high=None, images_low=None, images_high=None)
    both = Claim("f", "", (better, other, missing))
    assert both.verdict == MIXED
    assert both.basis.startswith("2 of 3 comparisons run: 1 holds, 1 does not hold; 2 with a single seed on a side")
    assert Claim("f", "", (better,)).basis.startswith("1 of 1 comparison run: 1 holds")
    several = Claim(
        "f", "", tuple(on("semseg", *limits, a) for a, limits in zip("abcd", ((1, 2), (1, 2), (-2, -1), (-2, -1)), strict=True))
    )
    assert several.basis.startswith("4 of 4 comparisons run: 2 hold, 2 do not hold;")


def test_a_verdict_that_is_one_of_many_is_corrected(study: Project) -> None:
    """What holds by far holds after the correction; what just holds does not, and p-values only grow."""
    found = _by_key(study)
    first = found["a"].findings[0]
    assert (first.paper, first.paper_on, first.corrected) == (1.13, "nyud", HOLDS)
    assert found["a"].corrected == HOLDS
    run = [f for claim in found.values() for f in claim.findings if f.p is not None]
    assert all(f.p_holm >= f.p for f in run)
    assert [f for f in run if (f.p < 0.05) != (f.verdict in (HOLDS, FAILS))] == []
    assert replace(first, p_holm=0.06).corrected == OPEN
    assert Claim("a", "", (replace(first, p_holm=0.06),)).corrected == OPEN
    assert {f.power for f in found["f"].findings} == {None}  # the paper prints no numbers of it


def test_every_method_stands_against_the_baseline(study: Project) -> None:
    found = against_baseline(for_report(study), study.paths)
    assert [(f.setting, study.cell(f.a).method) for f in found] == [
        ("onelabel", method) for method in ("xtc", "diffusion_prediction", "diffusion_feature", "no_diffusion")
    ]
    assert {study.cell(f.b).method for f in found} == {"mtl_baseline"}


def test_seeds_that_differ_widen_the_interval_and_images_alone_do_not(study: Project) -> None:
    """Two seeds that are far apart: their part is in the interval, and not in that of the images."""
    _evaluated(study, f"nyud-onelabel-diffusion_prediction{B}-seed1", 1, 0.2)
    spread = _by_key(study)["a"].findings[0]
    assert spread.high - spread.low > 2 * (spread.images_high - spread.images_low)
    assert spread.verdict == OPEN
    assert "seeds of both sides" in spread.settles


def test_other_test_images_are_refused(study: Project) -> None:
    key = f"nyud-onelabel-xtc{B}"
    found = load_per_image(study.paths.statistics(key))
    replace(found, ids=found.ids[::-1]).save(study.paths.statistics(key))
    with pytest.raises(UserError, match="other test images"):
        claims(for_report(study), study.paths)


def test_no_claim_needs_single_task_networks_that_the_grid_lacks(study: Project) -> None:
    grid = yaml.safe_load((study.paths.root / "grid.yaml").read_text())
    del grid["cells"][f"nyud-full-single_task{B}"]
    (study.paths.root / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    found = claims(for_report(Project(study.paths.root)), study.paths)
    assert {f.setting for claim in found if claim.key != "f" for f in claim.findings} == {"onelabel", "randomlabels"}


def test_a_seed_below_the_constant_is_named_though_the_mean_is_above(study: Project) -> None:
    _evaluated(study, f"nyud-onelabel-diffusion_prediction{B}-seed1", 1, 0.3)
    found = _margins(study)
    one = next(m for m in found if (m.method, m.task.name) == ("DiffusionMTL (Prediction)", "semseg"))
    assert one.gain > 0 > one.least
    _evaluated(study, f"nyud-onelabel-diffusion_prediction{B}-steps1", 1, 0.3)
    pinned = {m.method for m in _margins(study) if m.task.name == "semseg" and m.gain < 0}
    assert pinned == {"MTL Baseline", "DiffusionMTL (Prediction) with 1 step"}


def test_who_does_not_beat_the_constant_is_named(study: Project) -> None:
    below = {(m.method, m.task.name) for m in _margins(study) if m.gain < 0}
    assert below == {("MTL Baseline", "semseg")}


def test_the_report_of_the_study(study: Project) -> None:
    write_report(
        for_report(study), study.paths, None, "### Tried\n\n<script>alert(1)</script>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    reports = study.paths.reports()
    text, page = (reports / "claims.md").read_text(), (reports / "index.html").read_text()
    assert "| (a) Diffusion beats the multi-task baseline in Δm | **holds** |" in text
    assert "2 of 6 comparisons run: 2 hold; 1 with a single seed on a side" in text
    assert "in one seed at least: MTL Baseline (one, tf_efficientnet_lite0) on semantic" in text
    assert "<td>1</td>" in page
    assert "<script>alert" not in page
    assert "| +1.13, +1.72, +1.67, +2.35, +1.54 on PASCAL, +2.94 on PASCAL |" in text
    assert "<h2>Do the paper's claims hold here?</h2>" in page
    assert '<th scope="col">Could it have been shown (power)</th>' in page
    assert re.search(r"\+2\.94 on PASCAL \| no \(\d+ to \d+ %\) \|", text)
    lines = list(csv.DictReader((reports / "methods.csv").read_text().splitlines()))
    assert {line["claim"] for line in lines} == {""}
    lines = list(csv.DictReader((reports / "claims.csv").read_text().splitlines()))
    assert {line["claim"] for line in lines} == set("abcdef")
    table = list(csv.DictReader((reports / "table3.csv").read_text().splitlines()))
    assert {line["backbone"] for line in table} == {"tf_efficientnet_lite0", "resnet18, scratch"}
    assert list(json.loads((reports / "summary.json").read_text())) == ["study-nyud-one-P", "study-nyud-one-F"]


def test_a_cell_that_pins_no_steps_has_its_place_among_those_that_do(study: Project) -> None:
    _evaluated(study, f"nyud-onelabel-diffusion_prediction{B}-steps1", 20, 0.3)
    write_report(for_report(study), study.paths, None, default_steps=2)
    lines = list(csv.DictReader((study.paths.reports() / "steps.csv").read_text().splitlines()))
    found = {line["steps"]: float(line["ours"]) for line in lines if line["task"] == "semseg"}
    grid, row = for_report(study), Row("nyud", "onelabel", "diffusion_prediction", B[1:])
    scored = [line for line in lines if line["metric"] != "flops_g"]
    assert all(float(line["low"]) <= float(line["ours"]) <= float(line["high"]) for line in scored)
    assert sum(float(line["low"]) < float(line["high"]) for line in scored) == len(scored)
    page = (study.paths.reports() / "index.html").read_text()
    assert "with 95 % intervals over test images and seeds" in page
    of_one, of_two = load_steps(grid, study.paths)[row][1], load_results(grid, study.paths)[row]
    assert found == {"1": pytest.approx(of_one.mean()["semseg"]), "2": pytest.approx(of_two.mean()["semseg"])}


def test_cells_from_scratch_are_rows_of_their_own(study: Project) -> None:
    _evaluated(study, "nyud-onelabel-single_task-scratch", 1, 0.4)
    _evaluated(study, "nyud-onelabel-mtl_baseline-scratch", 1, 0.4)
    rows = load_results(for_report(study), study.paths)
    assert Row("nyud", "onelabel", "mtl_baseline", "resnet18, scratch") in rows


def test_the_main_backbone_is_the_grids_most_frequent(root: Path) -> None:
    assert main_backbone(for_report(Project(root))) == "resnet18"
    assert main_backbone(for_report(Project(root / "study"))) == "tf_efficientnet_lite0"


def test_the_study_takes_two_steps_where_none_are_pinned(root: Path) -> None:
    """Claim (e) counts on it."""
    assert yaml.safe_load((root / "study" / "params.yaml").read_text())["diffusion"]["steps"] == 2
