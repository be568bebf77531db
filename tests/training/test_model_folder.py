"""The folder that a training leaves: all that is needed, and refused where it is broken."""

from pathlib import Path

import pytest
import torch
from helpers.training import train

from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.models import load_model


def test_a_model_folder_is_enough(tiny: Path, tmp_path: Path) -> None:
    cell = "nyud-full-diffusion_feature"
    train(tiny, cell)
    folder = tmp_path / "elsewhere"
    Project(tiny).paths.model(cell).rename(folder)
    model = load_model(folder)
    assert not model.training
    predicted = model.predict(torch.zeros(1, 3, 32, 64))
    assert set(predicted["final"]) == {"semseg", "depth", "normals"}


def test_broken_model_folders_are_named(tiny: Path, tmp_path: Path) -> None:
    cell = "nyud-full-mtl_baseline"
    train(tiny, cell)
    folder = Project(tiny).paths.model(cell)
    with pytest.raises(UserError, match=r"model\.json is missing"):
        load_model(tmp_path)
    content = (folder / "model.safetensors").read_bytes()
    for damaged in (content[: len(content) // 2], b"not safetensors", b""):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(UserError, match=str(folder)):
            load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="train it again"):
        load_model(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.json is damaged"):
        load_model(folder)
