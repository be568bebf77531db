"""Shared fixtures: the data folder beside the project, and a tiny project that goes the whole way of the data in seconds."""

import functools
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from filelock import FileLock
from helpers.project import ROOT, shared_folder, tiny_params, write_project

if TYPE_CHECKING:
    from dmtl.report.costs import Costs

yaml.SafeLoader, yaml.SafeDumper = yaml.CSafeLoader, yaml.CSafeDumper  # the same, compiled: 26 ms less for each params.yaml
os.environ["DMTL_TRACKING"] = "off"  # tests that want MLflow turn it on
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images and reference values that are no part of the repository."""
    folder = Path(os.environ.get("DMTL_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; DMTL_SHARED_DATA names another place")
    return folder


@pytest.fixture(scope="session")
def real_nyud(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few real NYUv2 frames as an MTAN tree."""
    import subprocess
    import sys

    tool = shared_data.parent / "tools" / "nyud_to_mtan.py"
    if not tool.is_file():
        pytest.skip(f"no {tool} to make an MTAN tree of the real frames")
    tree = tmp_path_factory.mktemp("nyud")
    subprocess.run([sys.executable, tool, tree, "--train", "4", "--val", "2"], check=True, capture_output=True)
    return tree


@pytest.fixture(scope="session")
def paper_costs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> "Costs":
    """What each network of the grid costs at the paper's size, counted by the first process that asks."""
    from dmtl.config import Cell, Project
    from dmtl.files import digest, replacing
    from dmtl.report.costs import Costs, Counted

    costs, folder = Costs(Project(root, scale="paper")), shared_folder(tmp_path_factory) / "costs"
    folder.mkdir(exist_ok=True)
    count = costs._cache

    def counted(cell: Cell, options: str, width: int) -> Counted:
        file = folder / digest(cell.model_dump(mode="json"), options, width)
        if not file.exists():
            with replacing(file) as temporary:
                temporary.write_bytes(pickle.dumps(count(cell, options, width)))
        found: Counted = pickle.loads(file.read_bytes())
        return found

    costs._cache = functools.cache(counted)
    return costs


@pytest.fixture(scope="session")
def _tiny_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from helpers.tiny_shards import make_tiny_shards

    if made := os.environ.get("DMTL_TINY_SHARDS"):  # by `python tests/helpers/tiny_shards.py`, where what reads raw files is not
        return Path(made)
    folder = shared_folder(tmp_path_factory) / "tiny"
    with FileLock(f"{folder}.lock"):  # one of the processes makes it for all
        if not (folder / "whole").exists():
            make_tiny_shards(folder)
            (folder / "whole").touch()
    return folder


@pytest.fixture
def narrow() -> Iterator[None]:
    """Networks that are built have narrow ResNets; in other processes they must ask for it (`helpers.narrow_resnet`)."""
    from helpers.narrow_resnet import narrow_backbones

    with narrow_backbones():
        yield


@pytest.fixture
def tiny(_tiny_shards: Path, tmp_path: Path, narrow: None) -> Path:
    """A fresh root with the tiny project's files and shards; raw files are shared and not to be changed."""
    folder = write_project(tmp_path / "project", tiny_params())
    shutil.copytree(_tiny_shards / "data" / "shards", folder / "data" / "shards")
    (folder / "data" / "raw").symlink_to(_tiny_shards / "data" / "raw")
    return folder
