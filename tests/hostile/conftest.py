"""A project that went the whole way of the data, made once: every bad input is this with one thing changed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from helpers.hostile import CELL
from helpers.narrow_resnet import narrow_backbones
from helpers.project import shared_folder, tiny_params, write_project
from helpers.stages import run


@pytest.fixture(scope="session")
def whole(_tiny_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project with one cell of PASCAL, trained and evaluated."""
    folder = shared_folder(tmp_path_factory) / "hostile"
    with FileLock(f"{folder}.lock"), narrow_backbones():
        if not (folder / "results").exists():
            write_project(folder, tiny_params())
            grid = yaml.safe_load((folder / "grid.yaml").read_text())
            grid |= {"benchmarks": ["pascal"], "cells": {CELL: grid["cells"][CELL]}, "gradients": {}, "extra": {}}
            (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
            shutil.copytree(_tiny_shards / "data" / "shards" / "demo" / "pascal", folder / "data" / "shards" / "demo" / "pascal")
            (folder / "data" / "raw" / "demo").mkdir(parents=True)
            shutil.copy(_tiny_shards / "data" / "raw" / "demo" / "pascal.json", folder / "data" / "raw" / "demo")
            (folder / "data" / "raw" / "demo" / "pascal").symlink_to(_tiny_shards / "data" / "raw" / "demo" / "pascal")
            run(folder, "stages/train.py", CELL)
            run(folder, "stages/evaluate.py", CELL)
    return folder


@pytest.fixture(autouse=True)
def small_networks() -> Iterator[None]:
    """As those of the project that were trained."""
    with narrow_backbones():
        yield
