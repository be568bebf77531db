"""Killed at random moments, by signals that can be caught and one that cannot, a training ends with the same weights."""

import signal
import time
from pathlib import Path

import pytest
import yaml
from helpers.faults import killed_at_random, train_in_a_process

from dmtl.config import Project

CELL = "nyud-onelabel-diffusion_feature"
FILES = ("model.safetensors", "history.json")


def _outs(folder: Path) -> list[bytes]:
    """Content of the model folder, which is emptied."""
    model = Project(folder).paths.model(CELL)
    content = [(model / name).read_bytes() for name in FILES]
    for path in model.iterdir():
        path.unlink()
    return content


def _uninterrupted(folder: Path) -> tuple[list[bytes], float]:
    """The outs of an undisturbed training, and its seconds."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"] |= {"epochs": 5, "batch": 2, "workers": 0}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    process = train_in_a_process(folder, CELL)
    while not (folder / "begun").exists():
        time.sleep(0.005)
    begun = time.monotonic()
    process.join()
    return _outs(folder), time.monotonic() - begun


def _kill(folder: Path, trials: int) -> None:
    expected, seconds = _uninterrupted(folder)
    ends = []
    for trial in range(trials):
        ends.append(killed_at_random(folder, CELL, trial, seconds))
        assert _outs(folder) == expected, f"trial {trial}, ended with {ends[-1]}"
        assert not list((folder / ".work" / "demo").glob("*/")), "a checkpoint is left over"
    allowed = {0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT, 1}
    assert set(ends) <= allowed
    assert any(ends), "no kill met a training"


@pytest.mark.long
def test_killed_three_times(tiny: Path) -> None:
    _kill(tiny, 3)


@pytest.mark.long
def test_killed_twenty_times(tiny: Path) -> None:
    _kill(tiny, 20)
