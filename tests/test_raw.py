"""From raw files to shards: label masks to the bit, downloads as a source, two processes at once, a full or read-only disk."""

import errno
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from conftest import ROOT, tiny_params, write_project

from dmtl.benchmarks import cityscapes, nyud, publications, rooms, streets
from dmtl.benchmarks.mappings import content_sha256, read_mapping
from dmtl.benchmarks.publications import Publication
from dmtl.benchmarks.raw import Raw
from dmtl.config import SETTINGS, Data, Paths, Project, for_shards
from dmtl.data.shards import Shard
from dmtl.data.transforms import hide_invalid
from dmtl.errors import UserError
from dmtl.files import write_json
from dmtl.sharding import build_shards


def tsv(bits: np.ndarray) -> str:
    """The canonical text of a mapping whose images are numbered."""
    return "".join(f"{k}\t{''.join(map(str, row))}\n" for k, row in enumerate(bits.tolist()))


@pytest.mark.parametrize(("name", "count"), [("nyud", 795), ("cityscapes", 2975)])
def test_the_masks_of_a_full_tree_are_the_published_ones(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, count: int
) -> None:
    mappings = shared_data / "xtc_mappings"
    images = tmp_path / "tree" / "train" / "image"
    images.mkdir(parents=True)
    for k in range(count):
        (images / f"{k}.npy").touch()
    monkeypatch.setenv(f"DMTL_{name.upper()}", str(tmp_path / "tree"))
    monkeypatch.setenv("DMTL_MAPPINGS", str(mappings / "original"))
    raw = Raw(name, Data(source="local", size=(32, 64), train=None, val=None), 0, Paths(root=tmp_path, scale="test"))
    listed = {setting: content_sha256(raw._mapping(setting, raw.obtain())) for setting in SETTINGS}
    write_json(raw.paths.manifest(name), {"mappings": listed})
    masks = raw.masks(raw.obtain())
    for setting in ("onelabel", "randomlabels"):
        assert tsv(masks[setting]).encode() == (mappings / f"{name}_{setting}.tsv").read_bytes()
    assert masks["full"].all()


@pytest.mark.long
def test_shards_of_the_real_tree_hold_the_published_masks(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 795 training frames of NYUv2, from the tool's tree into train.h5."""
    tool, mappings = shared_data.parent / "tools" / "nyud_to_mtan.py", shared_data / "xtc_mappings"
    subprocess.run([sys.executable, tool, tmp_path / "tree", "--val", "1"], check=True, capture_output=True)
    monkeypatch.setenv("DMTL_NYUD", str(tmp_path / "tree"))
    monkeypatch.setenv("DMTL_MAPPINGS", str(mappings / "original"))
    raw = Raw("nyud", Data(source="local", size=(36, 48), train=None, val=None), 0, Paths(root=tmp_path, scale="test"))
    raw.write_manifest()
    build_shards(raw)
    with h5py.File(raw.paths.shard("nyud", "train")) as file:
        assert [name.decode() for name in file["id"]] == [str(k) for k in range(795)]
        for setting in ("onelabel", "randomlabels"):
            assert tsv(file[f"label_mask/{setting}"][:]).encode() == (mappings / f"nyud_{setting}.tsv").read_bytes()


def test_a_download_goes_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives that were put into the downloads folder by hand, and mappings that are there, need no server."""
    tree, down = tmp_path / "tree", tmp_path / "down"
    cityscapes.synthesise(tree, "train", 2, seed=0)
    cityscapes.synthesise(tree, "val", 1, seed=0)
    (down / "cityscapes").mkdir(parents=True)
    with zipfile.ZipFile(down / "cityscapes" / "taken.zip", "w") as packed:
        for path in tree.rglob("*.npy"):
            packed.write(path, f"cityscapes/{path.relative_to(tree)}")
    bits = read_mapping(_write(tmp_path / "cityscapes_onelabel.tsv", "0\t10\n1\t01\n"))
    mapping = down / "mappings" / "cityscapes_settings" / "onelabel.pth"
    _write(mapping, tsv(bits.bits))
    here = Publication("mappings/cityscapes_settings/onelabel.pth", "unused")
    monkeypatch.setattr(publications, "MAPPINGS", {"cityscapes": (here,)})
    monkeypatch.setenv("DMTL_DOWNLOADS", str(down))
    data = Data(source="download", size=(32, 64), train=None, val=None)
    raw = Raw("cityscapes", data, 0, Paths(root=tmp_path, scale="test"))
    raw.write_manifest()
    build_shards(raw)
    shard = Shard(raw.paths.shard("cityscapes", "train"))
    assert len(shard) == 2
    assert shard.mask("randomlabels").tolist() == [[1, 0], [0, 1]]
    assert raw.obtain() == down / "cityscapes" / "tree" / "cityscapes"


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_two_processes_build_the_same_benchmark_at_once(tmp_path: Path) -> None:
    params = tiny_params()
    params["scales"]["demo"]["data"]["cityscapes"] |= {"size": [32, 64], "train": 4, "val": 2}
    script = """
import sys
from dmtl.benchmarks.raw import Raw
from dmtl.config import Project, for_shards
from dmtl.sharding import build_shards
project = Project(sys.argv[1])
raw = Raw("cityscapes", *for_shards(project, "cityscapes"), project.paths)
raw.write_manifest()
build_shards(raw)
"""
    command = [sys.executable, "-c", script, str(write_project(tmp_path / "two", params))]
    running = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(2)]
    project = Project(write_project(tmp_path / "one", params))
    raw = Raw("cityscapes", *for_shards(project, "cityscapes"), project.paths)
    raw.write_manifest()
    build_shards(raw)
    assert [process.wait(120) for process in running] == [0, 0]
    one, two = (_files(tmp_path / name) for name in ("one", "two"))
    assert one == two  # and no temporary file is left


def _files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("scenes", [rooms, streets])
def test_a_disk_that_fills_up_while_scenes_are_made(tmp_path: Path, scenes: object) -> None:
    folder = tmp_path / "train" / scenes.ARRAYS[1]  # type: ignore[attr-defined]
    folder.mkdir(parents=True)
    (folder / f".0.npy.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"0\.npy could not be written \(.*\): free the disk or mend the folder") as caught:
        scenes.write_tree(tmp_path, "train", 1, 0)  # type: ignore[attr-defined]
    assert "\n" not in str(caught.value)
    assert not list(folder.iterdir())
    scenes.write_tree(tmp_path, "train", 1, 0)  # type: ignore[attr-defined]
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("scenes", [rooms, streets])
def test_scenes_in_a_folder_that_cannot_be_written(scenes: object) -> None:
    with pytest.raises(UserError, match="could not be written"):
        scenes.write_tree(Path("/proc/self/dmtl"), "train", 1, 0)  # type: ignore[attr-defined]


def test_a_full_disk_leaves_the_old_manifest_and_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(write_project(tmp_path, tiny_params()))
    raw = Raw("nyud", *for_shards(project, "nyud"), project.paths)
    raw.write_manifest()
    build_shards(raw)
    kept = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for work in (raw.write_manifest, lambda: build_shards(raw)):
        with pytest.raises(UserError, match=r"could not be written \(No space left on device\)"):
            work()
    assert {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()} == kept


def test_a_manifest_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    nyud.synthesise(tree, "train", 1, 0)
    with pytest.raises(UserError, match=r"/proc/self/.*could not be written"):
        write_json(Paths(root=Path("/proc/self"), scale="test").manifest("nyud"), {})


@pytest.mark.parametrize("dtype", ["<f2", ">f4", ">f8", "<f8"])
def test_other_number_formats_of_cityscapes_are_read(tmp_path: Path, dtype: str) -> None:
    cityscapes.synthesise(tmp_path, "train", 1, seed=0)
    expected = cityscapes.read(tmp_path, "train", "0")
    for name in cityscapes.files(tmp_path, "train", "0"):
        np.save(tmp_path / name, np.load(tmp_path / name).astype(dtype))
    read = cityscapes.read(tmp_path, "train", "0")
    assert np.array_equal(read.labels["semseg"], expected.labels["semseg"])
    assert np.allclose(read.labels["depth"], expected.labels["depth"], atol=2e-4)
    assert np.abs(read.image.astype(int) - expected.image).max() <= 1


def test_an_all_ignored_or_zero_label_is_no_error_but_counts_nowhere(tmp_path: Path) -> None:
    """Labels without a valid pixel, and normals that are all zero, are read; the training sees them as ignored."""
    nyud.synthesise(tmp_path, "train", 1, seed=0)
    for name, value in (("label", -1), ("depth", 0), ("normal", 0)):
        path = tmp_path / "train" / name / "0.npy"
        np.save(path, np.full_like(np.load(path), value))
    labels = nyud.read(tmp_path, "train", "0").labels
    assert (labels["semseg"] == 255).all()
    tensors = {task: torch.from_numpy(np.atleast_3d(a).transpose(2, 0, 1).astype(np.float32)) for task, a in labels.items()}
    assert all((label == 255).all() for label in hide_invalid(tensors).values())
