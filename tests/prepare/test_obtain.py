"""From raw files to shards: label masks to the bit, downloads as a source, two processes at once, a full or read-only disk."""

import errno
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers.project import ROOT, tiny_params, write_project
from helpers.raw import make_scenes

from dmtl.benchmarks import benchmark
from dmtl.benchmarks import cityscapes as cityscapes_folder
from dmtl.benchmarks.benchmark import Publication
from dmtl.benchmarks.cityscapes import files as cityscapes
from dmtl.benchmarks.cityscapes import streets
from dmtl.benchmarks.nyud import files as nyud
from dmtl.benchmarks.nyud import rooms
from dmtl.config import Data, Paths, Project, for_shards
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.files import read_json, temporary_name, write_json
from dmtl.prepare import obtain, places
from dmtl.prepare.label_masks import content_sha256
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards


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
    listed = {setting: content_sha256(raw.label_mask(setting, raw.obtain())) for setting in raw.benchmark.settings}
    write_json(raw.paths.manifest(name), {"source": "local", "splits": {"train": [], "val": []}, "files": {}, "mappings": listed})
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
    make_scenes("cityscapes", tree, train=2, val=1)
    (down / "cityscapes").mkdir(parents=True)
    with zipfile.ZipFile(down / "cityscapes" / "taken.zip", "w") as packed:
        for path in tree.rglob("*.npy"):
            packed.write(path, f"cityscapes/{path.relative_to(tree)}")
    mapping = down / "mappings" / "cityscapes_settings" / "onelabel.pth"
    mapping.parent.mkdir(parents=True)
    mapping.write_text("0\t10\n1\t01\n")
    masks = replace(
        cityscapes_folder.MASKS,
        files=(Publication("mappings/cityscapes_settings/onelabel.pth", "https://raw.githubusercontent.com/unused"),),
    )
    monkeypatch.setattr(cityscapes_folder, "BENCHMARK", replace(benchmark("cityscapes"), masks=masks))
    monkeypatch.setenv("DMTL_DOWNLOADS", str(down))
    data = Data(source="download", size=(32, 64), train=None, val=None)
    raw = Raw("cityscapes", data, 0, Paths(root=tmp_path, scale="test"))
    raw.write_manifest()
    build_shards(raw)
    shard = Shard(raw.paths.shard("cityscapes", "train"))
    assert len(shard) == 2
    assert shard.label_mask("randomlabels").tolist() == [[1, 0], [0, 1]]
    assert raw.obtain() == down / "cityscapes" / "tree" / "cityscapes"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Raw:
    """A benchmark of the user's own with local files, for which no label masks were published."""
    mine = replace(benchmark("cityscapes"), name="mine", masks=None, images={}, archive=None, by_hand=(), synthesise=None)
    monkeypatch.setattr(obtain, "benchmark", {"mine": mine}.__getitem__)
    monkeypatch.setenv("DMTL_MINE", str(make_scenes("cityscapes", tmp_path / "tree", train=3, val=1)))
    monkeypatch.delenv("DMTL_MAPPINGS", raising=False)
    data = Data(source="local", size=(32, 64), train=2, val=None)
    return Raw("mine", data, 0, Paths(root=tmp_path / "project", scale="test"))


def test_a_benchmark_of_ones_own_has_its_label_masks_drawn(own: Raw) -> None:
    own.write_manifest()
    drawn = own.masks(own.obtain())
    assert drawn["onelabel"].sum(0).tolist() == [1, 1]  # of the two images that are used
    assert drawn["full"].tolist() == [[1, 1], [1, 1]]
    other = replace(own, seed=1, paths=Paths(root=own.paths.root, scale="other"))
    other.write_manifest()
    assert read_json(own.paths.manifest("mine"))["mappings"] != read_json(other.paths.manifest("mine"))["mappings"]


def test_mapping_files_that_the_user_has_given_come_first(
    own: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine_onelabel.tsv").write_text("0\t01\n1\t01\n2\t10\n")  # the whole split
    monkeypatch.setenv("DMTL_MAPPINGS", str(tmp_path))
    own.write_manifest()
    masks = own.masks(own.obtain())
    assert masks["onelabel"].tolist() == [[0, 1], [0, 1]]
    assert masks["randomlabels"].sum(1).tolist() == [1, 1]  # drawn: there is no such file
    assert "note" not in capsys.readouterr().err  # nothing was published that it could differ from


def test_what_a_benchmark_does_not_offer_is_told(own: Raw) -> None:
    synthetic = replace(own, data=Data(source="synthetic", size=(32, 64), train=1, val=1))
    with pytest.raises(UserError, match=r"mine has no synthetic scenes: set its 'source' in params\.yaml to local or download"):
        synthetic.obtain()
    download = replace(own, data=Data(source="download", size=(32, 64), train=1, val=1))
    with pytest.raises(UserError, match="mine cannot be downloaded: 'python -m dmtl data' says what to do"):
        download.obtain()


def test_an_unknown_benchmark_is_named(tmp_path: Path) -> None:
    data = Data(source="synthetic", size=(32, 64), train=1, val=1)
    with pytest.raises(UserError, match="no benchmark 'nyu'; did you mean 'nyud'"):
        Raw("nyu", data, 0, Paths(root=tmp_path, scale="test")).obtain()


def test_a_large_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LARGE", 1)
    path = tmp_path / "large"
    path.write_bytes(b"one")
    first = places.file_record(path)
    path.write_bytes(b"other")
    changed = places.file_record(path)
    assert changed != first
    hits = places._sha256_once.cache_info().hits
    assert places.file_record(path) == changed
    assert places._sha256_once.cache_info().hits == hits + 1


def test_two_processes_build_the_same_benchmark_at_once(tmp_path: Path) -> None:
    params = tiny_params()
    params["scales"]["demo"]["data"]["cityscapes"] |= {"size": [32, 64], "train": 4, "val": 2}
    script = """
import sys
from dmtl.prepare.obtain import Raw
from dmtl.config import Project, for_shards
from dmtl.prepare.shards import build_shards
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
    temporary_name(folder / "0.npy").symlink_to("/dev/full")
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
    make_scenes("nyud", tree, train=1, val=0)
    with pytest.raises(UserError, match=r"/proc/self/.*could not be written"):
        write_json(Paths(root=Path("/proc/self"), scale="test").manifest("nyud"), {})


@pytest.mark.parametrize("dtype", ["<f2", ">f4", ">f8", "<f8"])
def test_other_number_formats_of_cityscapes_are_read(tmp_path: Path, dtype: str) -> None:
    make_scenes("cityscapes", tmp_path, train=1, val=0)
    expected = cityscapes.read(tmp_path, "train", "0")
    for name in cityscapes.files(tmp_path, "train", "0"):
        np.save(tmp_path / name, np.load(tmp_path / name).astype(dtype))
    read = cityscapes.read(tmp_path, "train", "0")
    assert np.array_equal(read.labels["semseg"], expected.labels["semseg"])
    assert np.allclose(read.labels["depth"], expected.labels["depth"], atol=2e-4)
    assert np.abs(read.image.astype(int) - expected.image).max() <= 1


def test_an_all_ignored_or_zero_label_is_no_error_but_counts_nowhere(tmp_path: Path) -> None:
    """Labels without a valid pixel, and normals that are all zero, are read; the training sees them as ignored."""
    make_scenes("nyud", tmp_path, train=1, val=0)
    for name, value in (("label", -1), ("depth", 0), ("normal", 0)):
        path = tmp_path / "train" / name / "0.npy"
        np.save(path, np.full_like(np.load(path), value))
    labels = nyud.read(tmp_path, "train", "0").labels
    assert (labels["semseg"] == 255).all()
    for task in benchmark("nyud").tasks:
        label = torch.from_numpy(np.atleast_3d(labels[task.name]).transpose(2, 0, 1).astype(np.float32))
        assert (task.kind.hide_invalid(label) == 255).all()
