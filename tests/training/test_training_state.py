"""The state of a training by itself, without one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dmtl.errors import UserError
from dmtl.training.checkpoint import ResumeState
from dmtl.training.fingerprint import Fingerprint

FINGERPRINT = Fingerprint({"a": 1, "b": 2, "c": 3, "d": 4}, "data", "code")
STATE: dict[str, Any] = {
    "model": {"weight": torch.ones(2)}, "optimiser": {}, "balance": {}, "history": [],
    "position": {"network": 0, "epoch": 1, "batch": 2, "losses": {}},
}  # fmt: skip


def test_a_further_process_reads_and_leaves_everything_alone(tmp_path: Path) -> None:
    with ResumeState(tmp_path, "demo/cell", FINGERPRINT) as owner:
        owner.save(STATE)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        with ResumeState(tmp_path, "demo/cell", FINGERPRINT, owner=False) as further:
            state = further.load()
            assert state is not None
            assert state["position"] == STATE["position"]
            further._due = 0.0
            assert not further.due()
            further.save(STATE)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_ended_training_leaves_nothing_and_one_that_failed_its_state(tmp_path: Path) -> None:
    resume = ResumeState(tmp_path, "demo/cell", FINGERPRINT).__enter__()
    resume.save(STATE)
    resume.__exit__(RuntimeError, RuntimeError(), None)
    assert (resume.folder / "checkpoint.pt").is_file()
    with ResumeState(tmp_path, "demo/cell", FINGERPRINT) as resume:
        assert resume.load() is not None
    assert list((tmp_path / ".work" / "demo").iterdir()) == []


def test_three_differences_are_told_and_that_there_are_more(tmp_path: Path) -> None:
    with ResumeState(tmp_path, "demo/cell", FINGERPRINT) as resume:
        resume.save(STATE)
        for count, more in ((1, ""), (3, ""), (4, " and more")):
            config = {key: value + (k < count) for k, (key, value) in enumerate(FINGERPRINT.config.items())}
            other = ResumeState(tmp_path, "demo/cell", replace(FINGERPRINT, config=config))
            other._file = resume.folder / "checkpoint.pt"  # as if the hashes began alike
            told = ", ".join(f"config.{key} {FINGERPRINT.config[key]}, not {config[key]}" for key in "abcd"[: min(count, 3)])
            with pytest.raises(UserError) as caught:
                other.load()
            assert f"is of another configuration ({told}{more}): delete" in str(caught.value)
