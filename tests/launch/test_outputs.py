"""What may be recorded: whole outs of today's configuration, data and code."""

from pathlib import Path

import pytest
import yaml

from dmtl.config import Project, for_training
from dmtl.files import write_json
from dmtl.launch.outputs import clear, forget_trained, is_trained, note_trained, results_of, why_not_whole
from dmtl.training.fingerprint import fingerprint_of

CELL = "nyud-full-mtl_baseline"


@pytest.fixture
def trained(tiny: Path) -> Project:
    """A project in which the cell's model folder is whole."""
    project = Project(tiny)
    folder = project.paths.model(CELL)
    fingerprint = fingerprint_of(for_training(project, CELL), project.paths.shard("nyud", "train"))
    write_json(folder / "history.json", [])
    write_json(folder / "model.json", {"fingerprint": fingerprint.value})
    (folder / "model.safetensors").write_bytes(b"weights")
    return project


def test_only_whole_models_of_this_configuration_are_recorded(trained: Project) -> None:
    folder = trained.paths.model(CELL)
    assert why_not_whole(trained, "train", CELL) is None
    params = yaml.safe_load((trained.paths.root / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"]["epochs"] = 7
    (trained.paths.root / "params.yaml").write_text(yaml.safe_dump(params))
    assert "another configuration" in (why_not_whole(Project(trained.paths.root), "train", CELL) or "")
    (folder / "model.safetensors.x.tmp").touch()
    assert "model.safetensors.x.tmp is left" in (why_not_whole(trained, "train", CELL) or "")
    (folder / "model.safetensors.x.tmp").unlink()
    (folder / "history.json").unlink()
    assert "history.json is missing" in (why_not_whole(trained, "train", CELL) or "")


def test_a_training_that_ended_unrecorded_is_known_unless_its_folder_was_changed(trained: Project) -> None:
    assert not is_trained(trained, CELL), "a folder of unknown origin"
    note_trained(trained.paths, CELL)
    assert is_trained(trained, CELL)
    (trained.paths.model(CELL) / "model.safetensors").write_bytes(b"weighty")
    assert not is_trained(trained, CELL), "a damaged one"
    note_trained(trained.paths, CELL)
    forget_trained(trained.paths, CELL)
    assert not is_trained(trained, CELL), "one that is recorded"


def test_what_a_stage_left_is_cleared_before_it_runs(trained: Project) -> None:
    note_trained(trained.paths, CELL)
    results = results_of(trained.paths, CELL)
    results[0].parent.mkdir(parents=True)
    half = results[0].with_name(f".{results[0].name}.123.tmp")
    other = results[0].with_name(f"{CELL}-seed1.json")
    for path in (*results, half, other):
        path.touch()
    assert why_not_whole(trained, "evaluate", CELL) is None
    clear(trained.paths, "evaluate", CELL)
    assert list(other.parent.iterdir()) == [other]
    assert f"{CELL}.json is missing" in (why_not_whole(trained, "evaluate", CELL) or "")
    assert is_trained(trained, CELL)
    clear(trained.paths, "train", CELL)
    assert not trained.paths.model(CELL).exists()
    assert not is_trained(trained, CELL)
