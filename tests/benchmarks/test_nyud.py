"""The NYUD reader on synthetic and real trees, its label masks, and every bad input told in one line."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.raw import assert_refused, at, build, edited, local_raw, make_scenes

from dmtl.benchmarks import benchmark
from dmtl.benchmarks.nyud import files as nyud
from dmtl.config import Data, Paths
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.files import write_json
from dmtl.prepare.label_masks import content_sha256
from dmtl.prepare.mapping_files import find_mapping, read_mapping
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training rooms and one test room."""
    return make_scenes("nyud", tmp_path_factory.mktemp("scenes"), train=2, val=1)


@pytest.fixture
def raw(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Raw:
    """A copy of the rooms as the user's own tree, with mappings of their own, and where they are to go."""
    tree = tmp_path / "a tree é"  # a space and a letter beyond ASCII
    shutil.copytree(scenes, tree)
    masks = "0\t100\n1\t011\n"
    return local_raw("nyud", tree, tmp_path, monkeypatch, (36, 48), onelabel=masks, randomlabels=masks)


def test_a_sample_holds_what_the_tree_holds(scenes: Path) -> None:
    sample = nyud.read(scenes, "train", "1")
    image, label, depth, normal = (np.load(scenes / name) for name in nyud.files(scenes, "train", "1"))
    assert np.abs(sample.image / 255 - image).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(sample.labels["semseg"] == 255, label == -1)
    assert np.array_equal(sample.labels["semseg"][label >= 0], label[label >= 0])
    assert np.array_equal(sample.labels["depth"], depth[..., 0])
    assert np.array_equal(sample.labels["normals"], normal)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", ">f8", "<f8"])
def test_other_number_formats_are_read(scenes: Path, tmp_path: Path, dtype: str) -> None:
    shutil.copytree(scenes, tmp_path / "tree")
    for name in nyud.files(scenes, "train", "0"):
        np.save(tmp_path / "tree" / name, np.load(scenes / name).astype(dtype))
    read, expected = nyud.read(tmp_path / "tree", "train", "0"), nyud.read(scenes, "train", "0")
    assert np.array_equal(read.labels["semseg"], expected.labels["semseg"])
    assert np.allclose(read.labels["depth"], expected.labels["depth"], atol=4e-3)


def test_a_resized_sample_keeps_its_classes_and_values(scenes: Path) -> None:
    sample = nyud.read(scenes, "train", "0")
    small = sample.resized((36, 48), benchmark("nyud").tasks)
    assert small.image.shape == (36, 48, 3)
    assert set(np.unique(small.labels["semseg"])) <= set(np.unique(sample.labels["semseg"]))
    assert np.isin(small.labels["depth"], sample.labels["depth"]).all()
    assert np.array_equal(small.labels["depth"], sample.labels["depth"][4::8, 4::8])


def test_the_users_tree_is_read_in_place_and_not_changed(raw: Raw) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in raw.obtain().rglob("*")}
    build(raw)
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in raw.obtain().rglob("*")} == before
    assert not raw.paths.raw("nyud").exists()
    assert str(raw.obtain()) not in raw.paths.manifest("nyud").read_text()


def test_the_masks_of_a_local_tree_are_the_mapping_files(raw: Raw) -> None:
    build(raw)
    shard = Shard(raw.paths.shard("nyud", "train"))
    assert shard.label_mask("onelabel").tolist() == shard.label_mask("randomlabels").tolist() == [[1, 0, 0], [0, 1, 1]]
    assert shard.label_mask("full").all()


def test_the_published_mappings_are_the_same_in_both_forms(shared_data: Path) -> None:
    folder = shared_data / "xtc_mappings"
    for setting in ("onelabel", "randomlabels"):
        canonical = read_mapping(find_mapping(folder, benchmark("nyud"), setting))
        published = read_mapping(find_mapping(folder / "original", benchmark("nyud"), setting))
        assert np.array_equal(canonical.allowed, published.allowed)
        assert canonical.allowed.shape == (795, 3)


def test_real_frames_go_through(real_nyud: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, some = "0\t100\n1\t001\n2\t001\n3\t010\n", "0\t110\n1\t001\n2\t001\n3\t010\n"
    raw = local_raw("nyud", real_nyud, tmp_path, monkeypatch, nyud.SIZE, onelabel=one, randomlabels=some)
    build(raw)
    shard = Shard(raw.paths.shard("nyud", "train"))
    assert len(shard) == 4
    depth = np.load(real_nyud / "train" / "depth" / "2.npy")[..., 0]
    assert np.array_equal(shard.label("depth", 2), depth)
    assert 0.5 < np.median(depth) < 10
    assert np.abs(shard.label("normals", 2) - np.load(real_nyud / "train" / "normal" / "2.npy")).max() < 1e-3


def test_a_synthetic_draw_is_of_the_published_kind(tmp_path: Path) -> None:
    data = Data(source="synthetic", size=(36, 48), train=60, val=1)
    raw = Raw("nyud", data, seed=0, paths=Paths(root=tmp_path, scale="test"))
    folder = tmp_path / "train" / "image"
    folder.mkdir(parents=True)
    for k in range(70):  # ten more than are used
        (folder / f"{k}.npy").touch()
    listed = {setting: content_sha256(raw.label_mask(setting, tmp_path)) for setting in raw.benchmark.settings}
    write_json(
        raw.paths.manifest("nyud"), {"source": "synthetic", "splits": {"train": [], "val": []}, "mappings": listed, "files": {}}
    )
    masks = raw.masks(tmp_path)
    assert list(masks) == list(raw.benchmark.settings)
    assert (masks["onelabel"].sum(1) == 1).all()
    assert masks["onelabel"].sum(0).tolist() == [20, 20, 20]
    assert set(masks["randomlabels"].sum(1)) == {1, 2}


def _truncate(name: str, size: int) -> Callable[[Path], None]:
    return lambda tree: os.truncate(tree / name, size)


BAD = [
    (lambda tree: (tree / "train/depth/1.npy").unlink(), r"train/depth/1\.npy is missing"),
    (lambda tree: (tree / "train/image/0.npy").unlink(), r"image/0\.npy is missing: complete the folder"),
    (lambda tree: shutil.rmtree(tree / "val"), r"val/image holds no k\.npy"),
    (_truncate("train/image/1.npy", 5000), r"train/image/1\.npy is truncated or no npy file"),
    (_truncate("train/image/1.npy", 3), r"train/image/1\.npy is truncated or no npy file"),
    (_truncate("train/image/1.npy", 0), r"train/image/1\.npy is truncated or no npy file"),
    (edited("train/label/0.npy", lambda a: a[:100]), r"train/label/0\.npy has shape \(100, 384\), but \(288, 384\)"),
    (edited("val/depth/0.npy", lambda a: a[..., 0]), r"val/depth/0\.npy has shape \(288, 384\), but \(288, 384, 1\)"),
    (edited("train/label/0.npy", at(13)), r"train/label/0\.npy: class 13 at \(7, 9\) is outside -1\.\.12"),
    (edited("train/label/0.npy", at(-2)), r"train/label/0\.npy: class -2 at \(7, 9\)"),
    (edited("train/label/0.npy", at(2.5)), r"train/label/0\.npy: class 2\.5 is no whole number"),
    (edited("train/depth/1.npy", at(np.nan)), r"train/depth/1\.npy holds NaN or infinity at \(7, 9, 0\)"),
    (edited("train/depth/1.npy", at(np.inf)), r"train/depth/1\.npy holds NaN or infinity"),
    (edited("train/depth/1.npy", at(-0.5)), r"train/depth/1\.npy: depth -0\.5 at \(7, 9\) is outside 0"),
    (edited("train/image/1.npy", lambda a: a * 255), r"train/image/1\.npy: brightness \d+"),
    (edited("train/normal/1.npy", lambda a: a * 3), r"train/normal/1\.npy: component of a normal"),
    (edited("train/label/0.npy", lambda a: a.astype("U4")), r"train/label/0\.npy holds no numbers"),
    (edited("train/label/0.npy", lambda a: a.astype(object)), r"train/label/0\.npy is truncated or no npy file"),
]


@pytest.mark.parametrize(("damage", "message"), BAD)
def test_bad_files_are_named_and_leave_no_shard(raw: Raw, damage: Callable[[Path], None], message: str) -> None:
    damage(raw.obtain())
    assert_refused(raw, message)


def test_a_file_that_changed_since_it_was_listed_is_refused(raw: Raw) -> None:
    raw.write_manifest()
    edited("val/image/0.npy", lambda a: a * 0.5)(raw.obtain())
    with pytest.raises(UserError, match=r"0\.npy has changed since it was listed: run 'dvc repro -f download@nyud'"):
        build_shards(raw)


def test_a_mapping_that_changed_since_it_was_listed_is_refused(raw: Raw) -> None:
    raw.write_manifest()
    (Path(os.environ["DMTL_MAPPINGS"]) / "nyud_onelabel.tsv").write_text("0\t010\n1\t011\n")
    with pytest.raises(UserError, match=r"nyud_onelabel\.tsv has changed since it was listed"):
        build_shards(raw)


def test_a_mapping_of_another_benchmark_is_refused(raw: Raw) -> None:
    (Path(os.environ["DMTL_MAPPINGS"]) / "nyud_onelabel.tsv").write_text("0\t10\n1\t01\n")
    with pytest.raises(UserError, match=r"wrong number of columns, 2, at id .0.: nyud has semseg, depth, normals"):
        build(raw)


def test_another_seed_draws_other_scenes(tmp_path: Path) -> None:
    data = Data(source="synthetic", size=(36, 48), train=1, val=1)
    roots = [Raw("nyud", data, seed, Paths(root=tmp_path, scale="test")).obtain() for seed in (0, 1, 0)]
    images = [np.load(root / "train" / "image" / "0.npy") for root in roots]
    assert roots[0] == roots[2]
    assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("text", ["0\t100\n", "0\t100\n1\t010\n2\t001\n"])
def test_a_mapping_of_the_wrong_length_is_refused(raw: Raw, text: str) -> None:
    folder = Path(os.environ["DMTL_MAPPINGS"])
    (folder / "nyud_onelabel.tsv").write_text(text)
    with pytest.raises(UserError, match=r"nyud_onelabel\.tsv: 1 .*: use the mapping made for exactly these images"):
        build(raw)
    assert not raw.paths.shard("nyud", "train").exists()


def test_a_missing_mapping_is_named(raw: Raw) -> None:
    (Path(os.environ["DMTL_MAPPINGS"]) / "nyud_onelabel.tsv").unlink()
    with pytest.raises(UserError, match=r"holds none of nyud_onelabel\.tsv, nyud/onelabel\.pth"):
        build(raw)


def test_a_folder_that_was_not_given_or_is_not_there_is_named(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMTL_NYUD", "/no/such/folder")
    with pytest.raises(UserError, match=r"DMTL_NYUD .* names /no/such/folder"):
        raw.obtain()
    monkeypatch.delenv("DMTL_NYUD")
    with pytest.raises(UserError, match="where are the files of 'nyud'"):
        raw.obtain()
    (raw.paths.root / "local.yaml").write_text(f"nyud: {raw.paths.root}\n")
    assert raw.obtain() == raw.paths.root
