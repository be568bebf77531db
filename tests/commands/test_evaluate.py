"""`dmtl evaluate` and `dmtl scores` on a network of the tiny project."""

import json
from pathlib import Path

import pytest
import torch

from dmtl.__main__ import main
from dmtl.config import Project, for_training
from dmtl.data.shards import Shard
from dmtl.evaluation.evaluate import evaluate
from dmtl.files import write_json
from dmtl.models import build, load_model, read_description, save_weights

CELL = "nyud-full-mtl_baseline"


@pytest.fixture
def folder(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder of the tiny project, which the commands work on."""
    monkeypatch.chdir(tiny)
    monkeypatch.chdir(tiny)
    project = Project(tiny)
    torch.manual_seed(0)
    network = for_training(project, CELL).network(Shard(project.paths.shard("nyud", "val")).outputs)
    folder = project.paths.model(CELL)
    save_weights(folder, build(network))
    about = {"cell": CELL, "scale": "demo", "seed": 0, "benchmark": "nyud", "size": [32, 64]}
    write_json(folder / "model.json", about | {"network": network.model_dump(mode="json")})
    return folder


def _printed(capsys: pytest.CaptureFixture[str], *call: str) -> dict:
    main([*call, "--json"])
    return json.loads(capsys.readouterr().out)


def test_a_network_is_scored_as_it_was_trained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = Shard(Project(Path()).paths.shard("nyud", "val"))
    expected = evaluate(load_model(folder), shard, read_description(folder)).result()
    assert _printed(capsys, "evaluate", str(folder), "--benchmark", "nyud") == json.loads(json.dumps(expected))


@pytest.mark.parametrize(("precision", "tolerance"), [("32-true", 1e-4), ("bf16-mixed", 0.05)])
def test_another_precision_scores_a_folded_network(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, precision: str, tolerance: float
) -> None:
    """The network that is scored is the folded one, and its scores are those of the trained one but for rounding."""
    from dmtl.inference import folding

    loaded = []
    original = folding.load_for_inference
    monkeypatch.setattr(folding, "load_for_inference", lambda *asked: loaded.append(asked) or original(*asked))
    call = ["evaluate", str(folder), "--benchmark", "nyud"]
    plain = _printed(capsys, *call)["metrics"]["final"]["depth"]["abs_error"]
    assert loaded == [(folder, None)]
    folded = _printed(capsys, *call, "--precision", precision)["metrics"]["final"]["depth"]["abs_error"]
    assert loaded == [(folder, None), (folder, precision)]
    assert folded == pytest.approx(plain, rel=tolerance)


def test_scores_of_kept_statistics_are_those_of_the_evaluation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = _printed(capsys, "evaluate", str(folder), "--benchmark", "nyud", "--per-image", "whole.npz")
    assert _printed(capsys, "scores", "whole.npz") == whole
    main(["scores", "whole.npz", "--per-image", "again.npz"])
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["task", "metric", "unit", "final", "initial"]
    assert any(line.split()[:4] == ["depth", "abs_error", "as", "stored"] for line in table)
    assert any(line.split()[:4] == ["semseg", "miou", "%", "↑"] for line in table)
    assert Path("again.npz").read_bytes() == Path("whole.npz").read_bytes()


def test_the_model_says_its_benchmark(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _printed(capsys, "evaluate", str(folder)) == _printed(capsys, "evaluate", str(folder), "--benchmark", "nyud")


@pytest.mark.parametrize("name", ["nyd", "shared"])
def test_an_unknown_benchmark_ends_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(folder), "--benchmark", name])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: no benchmark '{name}'")


def test_a_model_folder_that_is_not_there_names_the_nearest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = folder.with_name("nyud-ful-mtl_baseline")
    for call in (["evaluate", str(wrong)], ["export", str(wrong)], ["predict", "x.png", "--out", "out", "--model", str(wrong)]):
        with pytest.raises(SystemExit):
            main(call)
        assert f"there is no folder '{wrong}'; did you mean '{folder}'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "nowhere/nothing"])
    assert "nowhere/nothing/model.json is missing" in capsys.readouterr().err
