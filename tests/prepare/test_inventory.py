"""`python -m dmtl data`: what is there, what is missing and what it costs, what was verified."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.project import tiny_params, write_project

from dmtl.__main__ import main
from dmtl.benchmarks import benchmark
from dmtl.config import Project, for_download
from dmtl.prepare import inventory as module
from dmtl.prepare import obtain
from dmtl.prepare.inventory import inventory
from dmtl.prepare.label_masks import counts
from dmtl.prepare.mapping_files import read_mapping
from dmtl.prepare.obtain import Raw


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without torch, whose import takes seconds."""
    monkeypatch.setattr(module, "weights_folder", lambda: tmp_path / "checkpoints")


def project_of(folder: Path, **sources: str) -> Project:
    """A tiny project with just these benchmarks."""
    params = tiny_params()
    data = params["scales"]["demo"]["data"]
    sizes = {name: data[name]["size"] for name in sources}
    params["scales"]["demo"]["data"] = {
        name: {"source": source, "size": sizes[name], "train": 2, "val": 1} for name, source in sources.items()
    }
    return Project(write_project(folder, params))


def make(project: Project, name: str) -> Raw:
    raw = Raw(name, *for_download(project, name), project.paths)
    raw.write_manifest()
    return raw


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    said = inventory(project_of(tmp_path, cityscapes="synthetic"))
    assert "cityscapes: source synthetic" in said
    assert "images: none yet" in said
    assert not (tmp_path / "data").exists()  # it only looks
    assert "resnet18: missing (44.7 MiB): python -m dmtl data --get weights" in said


def test_scenes_that_were_made_are_counted_and_verified(tmp_path: Path) -> None:
    project = project_of(tmp_path, cityscapes="synthetic")
    raw = make(project, "cityscapes")
    said = inventory(project, verify=True)
    assert "verified now: 9 unchanged" in said
    assert "train: 2 images, 1.3 MiB" in said
    assert "val: 1 images" in said
    (raw.location() / "val/depth/0.npy").unlink()
    assert "KiB, files missing: 1, such as val/depth/0.npy" in inventory(project)


def test_a_local_tree_is_verified_against_its_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> None:
    tree = make(project_of(tmp_path / "a", cityscapes="synthetic"), "cityscapes").location()
    monkeypatch.setenv("DMTL_CITYSCAPES", str(tree))
    project = project_of(tmp_path / "b", cityscapes="local")
    monkeypatch.setenv("DMTL_MAPPINGS", str(shared_data / "xtc_mappings" / "original"))
    said = inventory(project)
    assert "train: 2 of 2975 images" in said
    assert "verified: nothing yet; python stages/download.py cityscapes" in said
    assert "label masks, onelabel: as published, verified, SHA-256 90083d8778f0" in said
    assert "label masks, randomlabels: as published, verified, SHA-256 90083d8778f0" in said
    assert "to get (size 620.8 MiB): python -m dmtl data --get cityscapes, from https://www.dropbox.com" in said
    assert "needs a login" in said
    (tmp_path / "cityscapes_onelabel.tsv").write_text("0\t10\n1\t01\n")
    monkeypatch.setenv("DMTL_MAPPINGS", str(tmp_path))
    raw = make(project, "cityscapes")
    said = inventory(project, verify=True)
    assert f"verified: 9 files were listed with their SHA-256 in {raw.paths.manifest('cityscapes')}" in said
    assert "verified now: 9 unchanged" in said
    assert "label masks, onelabel: NOT the published one" in said
    np.save(tree / "train/image/0.npy", np.zeros((128, 256, 3), np.float32))
    assert "verified now: 8 unchanged, 1 not, train/image/0.npy" in inventory(project, verify=True)


def test_what_was_not_named_and_what_must_be_got_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DMTL_NYUD", raising=False)
    monkeypatch.delenv("DMTL_MAPPINGS", raising=False)
    monkeypatch.setenv("DMTL_DOWNLOADS", str(tmp_path / "down"))
    said = inventory(project_of(tmp_path, nyud="local", cityscapes="download"))
    assert "missing: where are the files of 'nyud'? Set DMTL_NYUD" in said
    assert "to get (size unknown): python -m dmtl data --get nyud" in said
    assert "label masks, onelabel: missing (where are the files of 'mappings'" in said
    assert "to get (19.4 KiB): python -m dmtl data --get mappings" in said
    assert f"and put them as they are into {tmp_path / 'down' / 'cityscapes'}." in said
    (tmp_path / "down" / "cityscapes").mkdir(parents=True)
    (tmp_path / "down" / "cityscapes" / "gtFine_trainvaltest.zip").touch()
    assert "to unpack: gtFine_trainvaltest.zip in" in inventory(project_of(tmp_path, cityscapes="download"))


def test_weights_are_verified(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet18-f37072fd.pth").write_bytes(b"others")
    said = inventory(project_of(tmp_path, nyud="synthetic"))
    assert "resnet18-f37072fd.pth, NOT the published file: delete it" in said


def test_label_masks_of_a_benchmark_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(benchmark("cityscapes"), masks=None, images={}, archive=None, by_hand=())
    tree = make(project_of(tmp_path / "a", cityscapes="synthetic"), "cityscapes").location()
    monkeypatch.setattr(obtain, "benchmark", {"cityscapes": own}.__getitem__)
    monkeypatch.setenv("DMTL_CITYSCAPES", str(tree))
    monkeypatch.delenv("DMTL_MAPPINGS", raising=False)
    project = project_of(tmp_path / "b", cityscapes="local")
    said = inventory(project)
    assert "train: 2 images, 1.3 MiB" in said
    assert "label masks, onelabel: drawn with the seed" in said
    assert "label masks, randomlabels: drawn with the seed" in said
    assert "to get" not in said
    (tmp_path / "cityscapes_onelabel.tsv").write_text("0\t10\n1\t01\n")
    monkeypatch.setenv("DMTL_MAPPINGS", str(tmp_path))
    said = inventory(project)
    assert "label masks, onelabel: the user's own, SHA-256" in said
    assert "label masks, randomlabels: drawn with the seed" in said


def test_the_counts_of_a_mapping_name_the_papers_slip(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = shared_data / "xtc_mappings" / "original"
    main(["mapping", str(original / "pascal" / "randomlabels.npy"), "--counts"])
    said = capsys.readouterr().out
    assert "labels: semseg 2450, human_parts 847, saliency 2445, normals 2480, boundary 2557" in said
    assert "1: 1538, 2: 1529, 3: 1541, 4: 390" in said
    assert "published as: pascal randomlabels; content SHA-256 cdf992b8" in said
    assert "The paper prints semseg 450 and human parts 2553" in said
    said = counts(read_mapping(original / "cityscapes" / "onelabel.pth"))
    assert "published as: cityscapes onelabel, cityscapes randomlabels" in said
    assert "paper" not in said


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    project_of(tmp_path, nyud="synthetic")
    monkeypatch.chdir(tmp_path)
    main(["data"])
    assert capsys.readouterr().out.startswith("nyud: source synthetic")
    with pytest.raises(SystemExit) as ended:
        main(["data", "--get", "nyd"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: nothing is known of 'nyd'; did you mean 'nyud'?\n"
