"""Which stages of which cells are to be run."""

from pathlib import Path

import pytest

from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.launch import stale
from dmtl.launch.stale import Work, dvc, select, stale_work

CELL, OTHER = "nyud-full-mtl_baseline", "nyud-full-constant"


def test_what_dvc_finds_stale_is_done_and_what_is_trained_is_evaluated(tiny: Path) -> None:
    project = Project(tiny)
    status = {f"train@{CELL}": [], f"evaluate@{OTHER}": [], "report": []}
    assert sorted(select(status, project, []), key=str) == [Work(OTHER, ("evaluate",)), Work(CELL, ("train", "evaluate"))]
    assert select(status, project, [OTHER]) == [Work(OTHER, ("evaluate",))]
    assert select({"report": []}, project, []) == []


def test_stale_shards_are_made_first(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"shards of nyud are stale or missing: run 'dvc repro shards@nyud' first"):
        select({f"evaluate@{CELL}": [], "shards@nyud": []}, Project(tiny), [])
    assert select({f"train@{CELL}": [], "shards@pascal": []}, Project(tiny), [])


def test_a_cell_that_is_not_there_is_named(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean 'nyud-full-mtl_baseline'"):
        stale_work(Project(tiny), ["nyud-full-mtl_baselin"])


def test_dvc_runs_in_the_projects_folder_and_is_waited_for(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [("ERROR: Unable to acquire lock. Most likely another", 255), ("ERROR: Unable to acquire lock", 255), ("", 0)]
    asked = []

    class Done:
        stdout = "{}"

        def __init__(self, command: list[str], cwd: Path, **_: object) -> None:
            asked.append((command[2:], cwd))
            self.stderr, self.returncode = said.pop(0)

    monkeypatch.setattr(stale.subprocess, "run", Done)
    monkeypatch.setattr(stale.time, "sleep", lambda seconds: None)
    assert stale_work(Project(tiny), []) == []
    assert asked == 3 * [(["dvc", "status", "--json", "dvc.yaml"], tiny)]
    said[:] = [("WARNING: w\nERROR: 'dvc.yaml' is invalid.\n", 255)]
    with pytest.raises(UserError, match=r"'dvc status --json' failed: ERROR: 'dvc.yaml' is invalid\.$"):
        dvc(Project(tiny), "status", "--json", "dvc.yaml")
