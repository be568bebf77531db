"""What a training's fingerprint is made of: every value of its configuration, its data and its code."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.project import tiny_params, write_project

from dmtl.config import Project, for_training
from dmtl.training import fingerprint
from dmtl.training.fingerprint import Fingerprint, code_of, fingerprint_of

CELL = "nyud-onelabel-diffusion_feature"


def test_a_fingerprint_changes_with_every_part() -> None:
    one = Fingerprint({"seed": 0}, data="d", code="c")
    assert one.value == Fingerprint({"seed": 0}, data="d", code="c").value
    others = [replace(one, **change) for change in ({"config": {"seed": 1}}, {"data": "e"}, {"code": "e"})]
    assert len({made.value for made in (one, *others)}) == 4
    assert one.flat() == {"config.seed": "0", "data": "d", "code": "c"}


def test_a_trainings_fingerprint_is_of_its_configuration_shard_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training, shard = for_training(Project(write_project(tmp_path, tiny_params())), CELL), tmp_path / "train.h5"
    shard.write_bytes(b"a")
    one = fingerprint_of(training, shard)
    assert one == fingerprint_of(training.model_copy(deep=True), shard)
    assert fingerprint_of(training.model_copy(update={"seed": training.seed + 1}), shard).value != one.value
    shard.write_bytes(b"b")
    assert fingerprint_of(training, shard) == replace(one, data=fingerprint_of(training, shard).data)
    assert fingerprint_of(training, shard).value != one.value
    shard.write_bytes(b"a")
    monkeypatch.setattr(fingerprint, "code_of", lambda cell: code_of(cell)[1:])
    assert fingerprint_of(training, shard).code != one.code
