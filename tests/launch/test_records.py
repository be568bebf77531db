"""Records in batches; a commit that fails or is killed."""

import subprocess
from pathlib import Path

import pytest

from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.launch import records
from dmtl.launch.records import EVERY, Records, commit, mend_lock
from dmtl.launch.stale import dvc

CELLS = ["nyud-full-mtl_baseline", "nyud-full-constant", "nyud-onelabel-mtl_baseline"]


class Commits:
    """In place of `commit`: what was asked for, and a process that fails where `bad` is among the cells."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.bad, self.said = "none", "ERROR: the cache is full"

    def __call__(self, project: Project, stages: list[tuple[str, str]]) -> "subprocess.Popen[str]":
        self.asked.append([cell for _, cell in stages])
        code = f"echo '{self.said}' >&2; exit 1" if self.bad in self.asked[-1] else ""
        return subprocess.Popen(["sh", "-c", code], stderr=subprocess.PIPE, text=True)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    false = Commits()
    monkeypatch.setattr(records, "commit", false)
    monkeypatch.setattr(records, "why_not_whole", lambda project, stage, cell: None)
    monkeypatch.setattr(records, "code_state", lambda: "code")
    return false


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(records.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(records.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_one_commit_for_several_every_half_minute_and_at_the_end(tiny: Path, commits: Commits, clock: list[float]) -> None:
    assert EVERY < 30
    kept = Records(Project(tiny), "code")
    for second in range(60):
        clock[0] = 1000.0 + second
        if second in (0, 10, 20):
            kept.add("evaluate", CELLS[second // 10])
        if kept._process:
            kept._process.wait()
        assert kept.tick() == []
    assert commits.asked == [CELLS]
    kept.add("train", CELLS[0])
    assert commits.asked == [CELLS], "not at once"
    assert kept.close() == []
    assert commits.asked == [CELLS, CELLS[:1]]
    assert kept.close() == []
    assert len(commits.asked) == 2, "nothing waits"


def test_one_that_cannot_be_recorded_stops_no_other(tiny: Path, commits: Commits) -> None:
    kept = Records(Project(tiny), "code")
    for cell in CELLS:
        kept.add("train", cell)
    commits.bad = CELLS[1]
    ((stage, cell, problem),) = kept.close()
    assert (stage, cell) == ("train", CELLS[1])
    assert problem.startswith(f"it ended well, but 'dvc commit --force train@{CELLS[1]}' failed: ERROR: the cache is full")
    assert commits.asked == [CELLS, *([cell] for cell in CELLS)]


def test_it_waits_for_another_dvc(tiny: Path, commits: Commits, clock: list[float]) -> None:
    kept = Records(Project(tiny), "code")
    kept.add("train", CELLS[0])
    commits.bad, commits.said = CELLS[0], "ERROR: Unable to acquire lock"
    (problem,) = kept.close()
    assert "Unable to acquire lock" in problem[2]
    assert len(commits.asked) > 20
    assert clock[0] >= 1030


def test_what_todays_files_do_not_make_is_not_recorded(tiny: Path, commits: Commits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "why_not_whole", lambda project, stage, cell: "no" if cell == CELLS[0] else None)
    kept = Records(Project(tiny), "code")
    for cell in CELLS:
        kept.add("evaluate", cell)
    assert kept.close() == [("evaluate", CELLS[0], "no")]
    assert commits.asked == [CELLS[1:]]
    kept = Records(Project(tiny), "other code")
    kept.add("evaluate", CELLS[1])
    assert "the code was edited" in kept.close()[0][2]
    assert len(commits.asked) == 1


@pytest.mark.parametrize("before", ["", "stages:\n  old: 1\n"])
def test_a_commit_that_is_killed_while_it_writes_leaves_the_lock_as_it_was(
    tiny: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dmtl.launch.records.COMMAND", ("commit.py",))
    project, lock = Project(tiny), tiny / "dvc.lock"
    if before:
        lock.write_text(before)
    writes = "import os, pathlib, signal, time\npathlib.Path('dvc.lock').write_text('half')\n"
    (tiny / "commit.py").write_text(f"{writes}time.sleep(0.5)\nos.kill(os.getpid(), signal.SIGKILL)\n")
    process = commit(project, [("train", CELLS[0])])
    mend_lock(project)  # as the next launch does, which waits for what a killed one has left
    assert process.poll() is not None or process.wait(5)
    process.communicate()
    assert process.returncode
    assert (lock.read_text() if lock.exists() else "") == before

    (tiny / "commit.py").write_text(writes)
    assert commit(project, [("train", CELLS[0])]).communicate()[1] == ""
    mend_lock(project)
    assert lock.read_text() == "half", "one that was through stays"


def test_a_dvc_that_is_killed_is_told(tiny: Path) -> None:
    (tiny / "dvc").mkdir()
    (tiny / "dvc" / "__init__.py").touch()
    (tiny / "dvc" / "__main__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(UserError, match=r"'dvc status --json' failed: it was killed by signal 9: is the memory full"):
        dvc(Project(tiny), "status", "--json")
