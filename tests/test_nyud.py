"""The NYUD reader on synthetic and real trees, its label masks, and every bad input told in one line."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from dmtl.benchmarks import nyud
from dmtl.benchmarks.mappings import TASKS as MAPPED_TASKS
from dmtl.benchmarks.mappings import content_sha256, read_mapping
from dmtl.benchmarks.raw import Raw, benchmark_module, find_mapping
from dmtl.config import SETTINGS, Data, Paths
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.files import write_json
from dmtl.sharding import build_shards


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training rooms and one test room."""
    tree = tmp_path_factory.mktemp("scenes")
    nyud.synthesise(tree, "train", 2, seed=3)
    nyud.synthesise(tree, "val", 1, seed=3)
    return tree


@pytest.fixture
def raw(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Raw:
    """A copy of the rooms as the user's own tree, with mappings of their own, and where they are to go."""
    tree = tmp_path / "a tree é"  # a space and a letter beyond ASCII
    shutil.copytree(scenes, tree)
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    for setting in ("onelabel", "randomlabels"):
        (mappings / f"nyud_{setting}.tsv").write_text("0\t100\n1\t011\n")
    monkeypatch.setenv("DMTL_NYUD", str(tree))
    monkeypatch.setenv("DMTL_MAPPINGS", str(mappings))
    data = Data(source="local", size=(36, 48), train=None, val=None)
    return Raw("nyud", data, seed=0, paths=Paths(root=tmp_path, scale="test"))


def _build(raw: Raw) -> None:
    raw.write_manifest()
    build_shards(raw)


def _tree(raw: Raw) -> Path:
    return raw.obtain()


def test_tasks_are_in_the_order_of_the_mappings() -> None:
    assert tuple(nyud.TASKS) == MAPPED_TASKS["nyud"]
    assert len(nyud.CLASSES) == nyud.TASKS["semseg"]


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
    small = sample.resized((36, 48))
    assert small.image.shape == (36, 48, 3)
    assert set(np.unique(small.labels["semseg"])) <= set(np.unique(sample.labels["semseg"]))
    assert np.isin(small.labels["depth"], sample.labels["depth"]).all()
    assert np.array_equal(small.labels["depth"], sample.labels["depth"][4::8, 4::8])


def test_the_users_tree_is_read_in_place_and_not_changed(raw: Raw) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in _tree(raw).rglob("*")}
    _build(raw)
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in _tree(raw).rglob("*")} == before
    assert not raw.paths.raw("nyud").exists()
    assert str(_tree(raw)) not in raw.paths.manifest("nyud").read_text()


def test_the_masks_of_a_local_tree_are_the_mapping_files(raw: Raw) -> None:
    _build(raw)
    shard = Shard(raw.paths.shard("nyud", "train"))
    assert shard.mask("onelabel").tolist() == shard.mask("randomlabels").tolist() == [[1, 0, 0], [0, 1, 1]]
    assert shard.mask("full").all()


def test_the_published_mappings_are_the_same_in_both_forms(shared_data: Path) -> None:
    folder = shared_data / "xtc_mappings"
    for setting in ("onelabel", "randomlabels"):
        canonical = read_mapping(find_mapping(folder, "nyud", setting))
        published = read_mapping(find_mapping(folder / "original", "nyud", setting))
        assert np.array_equal(canonical.bits, published.bits)
        assert canonical.bits.shape == (795, 3)


def test_real_frames_go_through(real_nyud: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMTL_NYUD", str(real_nyud))
    (tmp_path / "nyud_onelabel.tsv").write_text("0\t100\n1\t001\n2\t001\n3\t010\n")
    (tmp_path / "nyud_randomlabels.tsv").write_text("0\t110\n1\t001\n2\t001\n3\t010\n")
    monkeypatch.setenv("DMTL_MAPPINGS", str(tmp_path))
    data = Data(source="local", size=nyud.SIZE, train=None, val=None)
    raw = Raw("nyud", data, seed=0, paths=Paths(root=tmp_path, scale="test"))
    _build(raw)
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
    listed = {setting: content_sha256(raw._mapping(setting, tmp_path)) for setting in SETTINGS}
    write_json(raw.paths.manifest("nyud"), {"mappings": listed})
    masks = raw.masks(tmp_path)
    assert list(masks) == list(SETTINGS)
    assert (masks["onelabel"].sum(1) == 1).all()
    assert masks["onelabel"].sum(0).tolist() == [20, 20, 20]
    assert set(masks["randomlabels"].sum(1)) == {1, 2}


def _edit(name: str, change: object) -> object:
    """Replace the array of a file by `change` of it."""

    def apply(tree: Path) -> None:
        np.save(tree / name, change(np.load(tree / name)))  # type: ignore[operator]

    return apply


def _at(value: float) -> object:
    def change(array: np.ndarray) -> np.ndarray:
        array[7, 9] = value
        return array

    return change


def _truncate(name: str, size: int) -> object:
    return lambda tree: os.truncate(tree / name, size)


BAD = [
    (lambda tree: (tree / "train/depth/1.npy").unlink(), r"train/depth/1\.npy is missing"),
    (lambda tree: (tree / "train/image/0.npy").unlink(), r"image/0\.npy is missing: complete the folder"),
    (lambda tree: shutil.rmtree(tree / "val"), r"val/image holds no k\.npy"),
    (_truncate("train/image/1.npy", 5000), r"train/image/1\.npy is truncated or no npy file"),
    (_truncate("train/image/1.npy", 3), r"train/image/1\.npy is truncated or no npy file"),
    (_truncate("train/image/1.npy", 0), r"train/image/1\.npy is truncated or no npy file"),
    (_edit("train/label/0.npy", lambda a: a[:100]), r"train/label/0\.npy has shape \(100, 384\), but \(288, 384\)"),
    (_edit("val/depth/0.npy", lambda a: a[..., 0]), r"val/depth/0\.npy has shape \(288, 384\), but \(288, 384, 1\)"),
    (_edit("train/label/0.npy", _at(13)), r"train/label/0\.npy: class 13 at \(7, 9\) is outside -1\.\.12"),
    (_edit("train/label/0.npy", _at(-2)), r"train/label/0\.npy: class -2 at \(7, 9\)"),
    (_edit("train/label/0.npy", _at(2.5)), r"train/label/0\.npy: class 2\.5 is no whole number"),
    (_edit("train/depth/1.npy", _at(np.nan)), r"train/depth/1\.npy holds NaN or infinity at \(7, 9, 0\)"),
    (_edit("train/depth/1.npy", _at(np.inf)), r"train/depth/1\.npy holds NaN or infinity"),
    (_edit("train/depth/1.npy", _at(-0.5)), r"train/depth/1\.npy: depth -0\.5 at \(7, 9\) is outside 0"),
    (_edit("train/image/1.npy", lambda a: a * 255), r"train/image/1\.npy: brightness \d+"),
    (_edit("train/normal/1.npy", lambda a: a * 3), r"train/normal/1\.npy: component of a normal"),
    (_edit("train/label/0.npy", lambda a: a.astype("U4")), r"train/label/0\.npy holds no numbers"),
    (_edit("train/label/0.npy", lambda a: a.astype(object)), r"train/label/0\.npy is truncated or no npy file"),
]


@pytest.mark.parametrize(("damage", "message"), BAD)
def test_bad_files_are_named_and_leave_no_shard(raw: Raw, damage: object, message: str) -> None:
    damage(_tree(raw))  # type: ignore[operator]
    with pytest.raises(UserError, match=message) as caught:
        _build(raw)
    assert "\n" not in str(caught.value)
    shards = raw.paths.shard("nyud", "train").parent
    assert [p for p in shards.glob("*") if p.name != "train.h5"] == [] if shards.exists() else True
    assert not raw.paths.shard("nyud", "val").exists()


def test_a_file_that_changed_since_it_was_listed_is_refused(raw: Raw) -> None:
    raw.write_manifest()
    _edit("val/image/0.npy", lambda a: a * 0.5)(_tree(raw))  # type: ignore[operator]
    with pytest.raises(UserError, match=r"0\.npy has changed since it was listed: run 'dvc repro -f download@nyud'"):
        build_shards(raw)


def test_a_mapping_that_changed_since_it_was_listed_is_refused(raw: Raw) -> None:
    raw.write_manifest()
    (Path(os.environ["DMTL_MAPPINGS"]) / "nyud_onelabel.tsv").write_text("0\t010\n1\t011\n")
    with pytest.raises(UserError, match=r"nyud_onelabel\.tsv has changed since it was listed"):
        build_shards(raw)


def test_a_mapping_of_another_benchmark_is_refused(raw: Raw) -> None:
    (Path(os.environ["DMTL_MAPPINGS"]) / "nyud_onelabel.tsv").write_text("0\t10\n1\t01\n")
    with pytest.raises(UserError, match="is of the tasks semseg, depth, but nyud has semseg, depth, normals"):
        _build(raw)


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
        _build(raw)
    assert not raw.paths.shard("nyud", "train").exists()


def test_a_missing_mapping_is_named(raw: Raw) -> None:
    (Path(os.environ["DMTL_MAPPINGS"]) / "nyud_onelabel.tsv").unlink()
    with pytest.raises(UserError, match=r"holds none of nyud_onelabel\.tsv, nyud/onelabel\.pth"):
        _build(raw)


def test_a_folder_that_was_not_given_or_is_not_there_is_named(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMTL_NYUD", "/no/such/folder")
    with pytest.raises(UserError, match=r"DMTL_NYUD .* names /no/such/folder"):
        raw.obtain()
    monkeypatch.delenv("DMTL_NYUD")
    with pytest.raises(UserError, match="where are the files of 'nyud'"):
        raw.obtain()
    (raw.paths.root / "local.yaml").write_text(f"nyud: {raw.paths.root}\n")
    assert raw.obtain() == raw.paths.root


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(UserError, match="no benchmark 'nyu'; did you mean 'nyud'"):
        benchmark_module("nyu")
