"""The comparison of cells: against a plain bootstrap, its coverage, Delta_m in each draw, seeds, what it says and refuses."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.project import tiny_params, write_project
from helpers.results import NYUD, depth_table, normals_table, nyud_statistics, semseg_table

from dmtl.config import Project, for_report
from dmtl.errors import UserError
from dmtl.metrics.delta import delta_m
from dmtl.metrics.per_image import PerImage
from dmtl.report.bootstrap import draw_images, draw_seeds, interval
from dmtl.report.compare import DELTA, Difference, Group, Pair, as_json, as_text, compare, load_pair, says
from dmtl.tasks import kind_of

ERRORS = ("depth", "normals")  # lower is better
PASCAL = {"semseg": 21, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1}


def _group(name: str, *cells: PerImage) -> Group:
    return Group(name, tuple(range(len(cells))), cells)


@pytest.fixture
def pair() -> Pair:
    a, b, single = (_group(n, nyud_statistics(s, 60, hit)) for n, s, hit in (("a", 1, 0.6), ("b", 2, 0.5), ("single", 3, 0.55)))
    return Pair(a, b, single, single)


# The draws


def test_a_plain_bootstrap_gives_the_same(pair: Pair) -> None:
    """Each draw scored from the repeated rows themselves, Delta_m with the reference's scores of the same draw."""
    found = compare(pair, draws=100, level=90, seed=5)
    counts = draw_images(60, 100, np.random.default_rng(5)).astype(int)
    differences: dict[tuple[str, str], list[float]] = {}
    for draw in counts:
        images = np.repeat(np.arange(60), draw)
        scores = {}
        for name, group in pair.groups().items():
            tables = group.cells[0].tables["final"]
            sums = {task: kind_of(task).scorer(n).scores(tables[task][images].sum(axis=0)) for task, n in NYUD.items()}
            scores[name] = {(task, metric): float(v) for task, values in sums.items() for metric, v in values.items()}
            scores[name] |= {task: float(next(iter(values.values()))) for task, values in sums.items()}
        single = {task: scores["single"][task] for task in NYUD}
        for name in ("a", "b"):
            scores[name][DELTA] = delta_m({task: scores[name][task] for task in NYUD}, single, ERRORS)
        for key in found:
            differences.setdefault(key, []).append(scores["a"][key] - scores["b"][key])
    assert set(found) == set(differences)
    assert len(found) == 1 + 3 + 5 + 1
    for key, values in differences.items():
        assert (found[key].low, found[key].high) == pytest.approx(tuple(np.percentile(values, [5, 95])), rel=1e-9, abs=1e-9), key


def test_a_task_without_a_valid_test_label_is_not_compared(pair: Pair) -> None:
    """Nor is what is made of all tasks; and its result file is JSON, which knows no NaN."""

    def void(group: Group) -> Group:
        tables = {"final": group.cells[0].tables["final"] | {"depth": np.zeros((60, 4))}}
        return _group(group.name, replace(group.cells[0], tables=tables))

    assert pair.reference_a is not None
    single = void(pair.reference_a)
    a = void(pair.a)
    found = compare(Pair(a, void(pair.b), single, single), draws=100, level=90, seed=5)
    assert {task for task, _ in found} == {"semseg", "normals"}
    assert a.cells[0].unscored() == ["depth"]
    assert pair.a.cells[0].unscored() == []
    assert list(a.cells[0].headline()) == ["semseg", "normals"]
    result = json.loads(json.dumps(a.cells[0].result(), allow_nan=False))
    assert result["metrics"]["final"]["depth"] == {"abs_error": None, "rmse": None, "rel_error": None}


def test_the_whole_test_set_is_scored_as_printed(pair: Pair) -> None:
    found = compare(pair, draws=100, level=95, seed=0)
    a, b, single = (group.cells[0].scores()["final"] for group in (pair.a, pair.b, pair.reference_a))
    for task in NYUD:
        for name in a[task]:
            d = found[task, name]
            assert (d.a, d.b, d.difference) == (a[task][name], b[task][name], a[task][name] - b[task][name])
    headline = [
        {"semseg": s["semseg"]["miou"], "depth": s["depth"]["abs_error"], "normals": s["normals"]["mean_error"]}
        for s in (a, b, single)
    ]
    gain_a, gain_b = (delta_m(scores, headline[2], ERRORS) for scores in headline[:2])
    assert found[DELTA].a == pytest.approx(gain_a)
    assert found[DELTA].difference == pytest.approx(gain_a - gain_b)


def test_draws_are_those_of_the_seed_alone(pair: Pair) -> None:
    assert compare(pair, 100, 95, seed=1) == compare(pair, 100, 95, seed=1) != compare(pair, 100, 95, seed=2)
    counts = draw_images(40, 200, np.random.default_rng(0))
    assert counts.shape == (200, 40)
    assert (counts.sum(axis=1) == 40).all()
    assert abs(counts.var(axis=0).mean() - (1 - 1 / 40)) < 0.05  # of a multinomial


def test_pairing_makes_intervals_narrow() -> None:
    """b errs on each image by just 2 % more: hard images do not blur that, since both have them in every draw."""
    cell = nyud_statistics(0, 100)
    worse = cell.tables["final"] | {"depth": cell.tables["final"]["depth"] * [1.02, 1, 1, 1]}
    pair = Pair(_group("a", cell), _group("b", replace(cell, tables={"final": worse})), None, None)
    d = compare(pair, 200, 95, 0)["depth", "abs_error"]
    assert d.significant
    assert d.high - d.low < 0.02 * abs(d.a)
    unpaired = Pair(_group("a", cell), _group("b", nyud_statistics(1, 100)), None, None)
    d = compare(unpaired, 200, 95, 0)["depth", "abs_error"]
    assert d.high - d.low > 0.1 * d.a


@pytest.mark.long
def test_a_95_percent_interval_covers_the_truth_in_93_to_97_percent() -> None:
    """400 simulated test sets of two cells whose true difference is known; errors are skewed, pixels per image vary as well."""
    images, covered, skew = 400, 0, 4.0
    ids = np.array([str(k) for k in range(images)])
    truth = 0.5 - 0.45
    for simulation in range(400):
        rng = np.random.default_rng([7, simulation])
        pixels, hard = rng.integers(50, 100, images).astype(float), rng.gamma(skew, 1 / skew, images)
        groups = []
        for name, mean in (("a", 0.5), ("b", 0.45)):
            table = depth_table(mean * hard * rng.gamma(skew, 1 / skew, images), pixels)
            groups.append(_group(name, PerImage({}, {"depth": 1}, {}, ids, np.arange(images), {"final": {"depth": table}})))
        d = compare(Pair(*groups, None, None), draws=400, level=95, seed=simulation)["depth", "abs_error"]
        covered += d.low <= truth <= d.high
    assert 0.93 <= covered / 400 <= 0.97


def test_draws_in_which_a_metric_is_undefined_are_left_out() -> None:
    assert interval(np.array([np.nan, *range(101)], float), 90) == (5, 95)
    assert np.isnan(interval(np.full(100, np.nan), 95)).all()
    assert not Difference(1, 1, 0, np.nan, np.nan).significant


def _pascal(seed: int, images: int) -> PerImage:
    rng = np.random.default_rng(seed)
    marked, predicted = (np.sort(rng.integers(0, 99, (images, n)))[:, ::-1] for n in (24, 101))
    matched = predicted // 2
    tables = {
        "semseg": semseg_table(rng, images, 21, 0.5),
        "human_parts": semseg_table(rng, images, 7, 0.5),
        "saliency": np.concatenate([marked // 2, marked, marked[:, :1] // 2], axis=1),
        "normals": normals_table(rng, images, 20),
        "boundary": np.concatenate(
            [matched, predicted, predicted[:, :1], matched[:, 9:10], predicted[:, 9:10], np.ones((images, 1), int)], axis=1
        ),
    }
    ids = np.array([f"{k:06}" for k in range(images)])
    return PerImage({}, PASCAL, {}, ids, np.arange(images), {"final": tables})


def test_two_thousand_draws_of_pascals_test_set_take_under_five_seconds() -> None:
    groups = [_group(name, _pascal(seed, 5105)) for seed, name in enumerate(("a", "b", "single"))]
    start = time.process_time()
    found = compare(Pair(*groups, groups[2]), draws=2000, level=95, seed=0)
    assert time.process_time() - start < 5
    assert len(found) == 1 + 1 + 2 + 5 + 3 + 1
    assert all(d.low < d.difference < d.high for key, d in found.items() if key != ("boundary", "ap"))


# Seeds


def test_seeds_are_averaged_and_widen_the_interval() -> None:
    a = [nyud_statistics(s, 80, depth=d) for s, d in ((1, 0.4), (2, 0.5), (3, 0.6))]
    b = nyud_statistics(4, 80)
    nested = compare(Pair(_group("a", *a), _group("b", b), None, None), 500, 95, 0)["depth", "abs_error"]
    alone = compare(Pair(_group("a", a[1]), _group("b", b), None, None), 500, 95, 0)["depth", "abs_error"]
    means = [cell.scores()["final"]["depth"]["abs_error"] for cell in a]
    assert nested.a == pytest.approx(np.mean(means))
    assert nested.high - nested.low > 1.1 * (alone.high - alone.low)
    taken = draw_seeds(3, 1000, np.random.default_rng(0))
    assert taken.shape == (3, 1000)
    assert set(np.unique(taken)) == {0, 1, 2}


def test_the_reference_itself_gains_nothing() -> None:
    """Single-task as b: its Delta_m is 0 in every draw, whatever seeds are drawn, and a's is the gain over it."""
    single = _group("single", nyud_statistics(3, 50), nyud_statistics(4, 50))
    found = compare(Pair(_group("a", nyud_statistics(1, 50, hit=0.9)), single, single, single), 200, 95, 0)
    assert found[DELTA].b == 0
    assert 0 < found[DELTA].low < found[DELTA].a < found[DELTA].high


# What it says


def _between(low: float, high: float) -> Difference:
    return Difference(1, 1 - (low + high) / 2, (low + high) / 2, low, high)


def test_it_says_what_can_be_between(pair: Pair) -> None:
    found = {
        ("semseg", "miou"): _between(1, 2),
        ("depth", "abs_error"): _between(0.1, 0.2),
        ("depth", "rmse"): _between(-5, -4),
        ("normals", "mean_error"): _between(-1, 2),
        DELTA: _between(-3, -1),
    }
    text = says(pair, found, 95)
    assert "Delta_m of a is -2.00 points from b's, 95 % interval -3.00 to -1.00: b is better than a overall." in text
    assert "On semseg a is better. On depth b is better. On normals it cannot be told." in text  # depth: lower is better
    assert "Each was trained once" in text
    assert text.endswith("With only 60 images they are a little too narrow.")
    assert "which of the two is better overall cannot be told" in says(pair, found | {DELTA: _between(-1, 2)}, 95)
    several = replace(pair, a=_group("a", *pair.a.cells, *pair.b.cells))
    assert "2 of a, 1 of b, 1 of single" in says(several, found, 95)
    del found[DELTA]
    assert "no Delta_m" in says(pair, found, 95)
    assert as_text(pair, found, 95).count("not told apart") == 1
    content = json.loads(json.dumps(as_json(pair, found, 500, 95)))
    assert content["metrics"]["normals"]["mean_error"]["significant"] is False
    assert content["delta_m"] is None
    assert content["seeds"] == {"a": [0], "b": [0], "single": [0]}


# From a project's results


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = write_project(tmp_path, tiny_params())
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    cell = "nyud-onelabel-diffusion_feature"
    grid["cells"][f"{cell}-seed1"] = grid["cells"][cell] | {"seed": 1}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    project = Project(folder)
    for i, name in enumerate((cell, f"{cell}-seed1", "nyud-onelabel-single_task", "nyud-full-constant")):
        nyud_statistics(i, 30).save(project.paths.statistics(name))
    return project


def test_groups_are_found_in_the_grid(project: Project) -> None:
    a, b = "nyud-onelabel-diffusion_feature-seed1", "nyud-full-constant"
    pair = load_pair(for_report(project), project.paths, a, b)
    assert (pair.a.name, pair.a.seeds) == ("nyud-onelabel-diffusion_feature", (0, 1))
    assert (pair.b.name, pair.b.seeds) == (b, (0,))
    assert pair.reference_a is not None
    assert pair.reference_a.name == "nyud-onelabel-single_task"
    assert pair.reference_b is None  # nyud-full-single_task was not evaluated
    assert DELTA not in compare(pair, 100, 95, 0)
    same = load_pair(for_report(project), project.paths, a, "nyud-onelabel-single_task")
    assert compare(same, 100, 95, 0)[DELTA].b == 0


def test_comparisons_that_make_no_sense_are_refused(project: Project) -> None:
    grid, paths = for_report(project), project.paths
    cell, constant = "nyud-onelabel-diffusion_feature", "nyud-full-constant"
    with pytest.raises(UserError, match=f"no cell 'nyud-full-constnt'; did you mean '{constant}'"):
        load_pair(grid, paths, cell, "nyud-full-constnt")
    with pytest.raises(UserError, match=r"nyud-full-mtl_baseline\.npz is missing: run 'dvc repro evaluate@nyud-full-mtl"):
        load_pair(grid, paths, cell, "nyud-full-mtl_baseline")
    with pytest.raises(UserError, match="differ in nothing but the seed"):
        load_pair(grid, paths, cell, f"{cell}-seed1")
    pascal = grid.cells[constant].model_copy(update={"benchmark": "pascal"})
    wider = grid.model_copy(update={"cells": grid.cells | {"pascal-full-constant": pascal}})
    shutil.copy(paths.statistics(constant), paths.statistics("pascal-full-constant"))
    with pytest.raises(UserError, match="different benchmarks"):
        load_pair(wider, paths, cell, "pascal-full-constant")
    nyud_statistics(0, 31).save(paths.statistics(constant))
    with pytest.raises(UserError, match="other test images"):
        load_pair(grid, paths, cell, constant)
    partial = nyud_statistics(0, 30)
    tables = {"final": {task: table[:20] for task, table in partial.tables["final"].items()}}
    replace(partial, index=partial.index[:20], tables=tables).save(paths.statistics(constant))
    with pytest.raises(UserError, match="other test images"):
        load_pair(grid, paths, cell, constant)


@pytest.mark.parametrize(("draws", "level"), [(99, 95), (0, 95), (100, 0), (100, 100), (100, float("nan"))])
def test_draws_and_levels_out_of_range_are_refused(pair: Pair, draws: int, level: float) -> None:
    with pytest.raises(UserError, match="at least 100 draws"):
        compare(pair, draws, level, 0)
