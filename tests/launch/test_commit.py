"""Many stages recorded with one writing of dvc.lock, against DVC's own commit of one after the other."""

import sys
from pathlib import Path

import pytest
import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo

from dmtl.launch.commit import commit, main

STAGES = {
    "first": {"cmd": "make first", "deps": ["code"], "params": ["seed"], "outs": ["a"]},
    "second": {"cmd": "make second", "deps": ["a"], "outs": ["b"], "metrics": ["scores.json"]},
    "third": {"cmd": "make third", "deps": ["code"], "outs": ["c"]},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of DVC whose first two stages have outputs that DVC knows nothing of, the third none."""
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    Path("params.yaml").write_text("seed: 3\n")
    Path("a").mkdir()
    for name in ("code", "a/x", "a/y", "b", "scores.json"):
        Path(name).write_text(name)
    return tmp_path


def test_it_records_what_dvc_does_for_one_stage_after_the_other(project: Path) -> None:
    commit(["first", "second"])
    ours = Path("dvc.lock").read_bytes()
    with Repo() as repo:
        assert set(repo.status(["first", "second"])) == set()
    Path("dvc.lock").unlink()
    for stage in ("first", "second"):
        with Repo() as repo:
            repo.commit(stage, force=True)
    assert ours == Path("dvc.lock").read_bytes()
    assert list(yaml.safe_load(ours)["stages"]) == ["first", "second"]


def test_an_output_that_is_missing_leaves_the_lock_as_it_is(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(["first"])
    before = Path("dvc.lock").read_bytes()
    with pytest.raises(DvcException, match="'c' does not exist"):
        commit(["second", "third"])
    assert Path("dvc.lock").read_bytes() == before
    monkeypatch.setattr(sys, "argv", ["commit", "third"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == "output 'c' does not exist"


def test_another_dvc_at_work_is_told_as_dvc_tells_it(project: Path) -> None:
    with Repo() as repo, repo.lock, pytest.raises(DvcException, match="acquire lock"):
        commit(["first"])
