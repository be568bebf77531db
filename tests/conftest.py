"""Shared fixtures: the data folder beside the project, and a tiny project that goes the whole way of the data in seconds."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

os.environ["DMTL_TRACKING"] = "off"  # tests that want MLflow turn it on
ROOT = Path(__file__).resolve().parents[1]


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


def tiny_params() -> dict:
    """The project's own params.yaml, cut down: six synthetic scenes, one epoch of two steps, the narrowest network."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    demo = params["scales"]["demo"]
    for benchmark in demo["data"]:
        size = [64, 64] if benchmark == "pascal" else [32, 64]
        demo["data"][benchmark] |= {"size": size, "train": 6, "val": 3}
        demo["train"][benchmark] |= {"width": 8, "epochs": 1, "batch": 3, "precision": "32-true"}
    params["plain"]["decoder_blocks"] = 1
    params["diffusion"]["network"] |= {"decoder_blocks": 1, "blocks": 1}
    params["consistency"]["decoder_blocks"] = 1
    params["consistency"]["xtc"]["widths"] = [1.0, 1.0, 1.0, 1.0, 2.0]
    return params


def write_project(folder: Path, params: dict) -> Path:
    """params.yaml and grid.yaml in `folder`, which becomes a project's root."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    shutil.copy(ROOT / "grid.yaml", folder / "grid.yaml")
    return folder


@pytest.fixture(scope="session")
def _tiny_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dmtl.benchmarks.raw import Raw
    from dmtl.config import Project, for_shards
    from dmtl.sharding import build_shards

    folder = write_project(tmp_path_factory.mktemp("tiny"), tiny_params())
    project = Project(folder)
    for benchmark in project.grid["benchmarks"]:
        raw = Raw(benchmark, *for_shards(project, benchmark), project.paths)
        raw.write_manifest()
        build_shards(raw)
    return folder


@pytest.fixture
def tiny(_tiny_shards: Path, tmp_path: Path) -> Path:
    """A fresh root with the tiny project's files and shards; raw files are shared and not to be changed."""
    folder = write_project(tmp_path / "project", tiny_params())
    shutil.copytree(_tiny_shards / "data" / "shards", folder / "data" / "shards")
    (folder / "data" / "raw").symlink_to(_tiny_shards / "data" / "raw")
    return folder
