"""A user's own files that are larger than any image or label: sparse ones of 5 GiB, which take no room on the disk."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.hostile import refused
from helpers.own_data import make_collection

from dmtl.__main__ import main
from dmtl.config import Project, for_download
from dmtl.prepare.obtain import Raw

HUGE = 5 << 30  # bytes


def _emptied(path: Path) -> None:
    path.write_bytes(b"")
    os.truncate(path, HUGE)


def _lengthened(path: Path) -> None:
    os.truncate(path, HUGE)


def _as_it_claims(path: Path) -> None:
    """An npy file whose values fill it, all of them 0."""
    path.unlink()
    np.lib.format.open_memmap(path, "w+", np.float32, (HUGE >> 12, 1024))


FILES: list[tuple[str, Callable[[Path], None]]] = [
    *((name, how) for name in ("image/1.png", "semseg/1.png", "flow/1.npy") for how in (_emptied, _lengthened)),
    ("flow/1.npy", _as_it_claims),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_collection(tmp_path / "data", ("semseg", "flow"))


@pytest.mark.parametrize(("name", "how"), FILES)
def test_init(data: Path, tmp_path: Path, name: str, how: Callable[[Path], None]) -> None:
    how(data / "train" / name)
    assert f"train/{name} is larger than 512 MiB" in refused(tmp_path, "init", "boxes", "--data", "data")


@pytest.mark.parametrize("stage", ["download", "shards"])
@pytest.mark.parametrize(("name", "how"), FILES)
def test_one_that_became_so(data: Path, tmp_path: Path, stage: str, name: str, how: Callable[[Path], None]) -> None:
    """After `dmtl init`, or after the files were listed."""
    main(["init", str(tmp_path / "boxes"), "--data", str(data)])
    if stage == "shards":
        project = Project(tmp_path / "boxes")
        Raw("boxes", *for_download(project, "boxes"), project.paths).write_manifest()
        project.paths.shard("boxes", "train").parent.mkdir(parents=True)  # an empty folder is no harm
    how(data / "train" / name)
    assert f"train/{name} is larger than 512 MiB" in refused(tmp_path / "boxes", f"stages/{stage}.py", "boxes")
