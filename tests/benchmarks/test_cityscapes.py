"""The Cityscapes reader: MTAN's npy tree and the primary source, its label masks, and every bad input told in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.raw import assert_refused, at, build, edited, local_raw, make_scenes
from PIL import Image

from dmtl.benchmarks import benchmark
from dmtl.benchmarks.cityscapes import files as cityscapes
from dmtl.data.shards import Shard
from dmtl.prepare.mapping_files import find_mapping
from dmtl.prepare.obtain import Raw

FRAMES = {"train": ("aachen_000000_000019", "aachen_000001_000019", "zurich_000000_000019"), "val": ("lindau_000000_000019",)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training streets and one test street."""
    return make_scenes("cityscapes", tmp_path_factory.mktemp("streets"), train=3, val=1)


def write_frame(root: Path, split: str, frame: str, photo: np.ndarray, label: np.ndarray, disparity: np.ndarray) -> None:
    """One frame in the official layout."""
    for name, array in zip(cityscapes.files(root, split, frame), (photo, label, disparity), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / name)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """Small frames in the official layout, in a folder with a space and a letter beyond ASCII."""
    root = tmp_path / "Cityscapes größe"
    for split, frames in FRAMES.items():
        for n, frame in enumerate(frames):
            rng = np.random.default_rng(n)
            photo = rng.integers(0, 256, (256, 512, 3), np.uint8)
            label = np.kron(rng.integers(0, 34, (16, 32)), np.ones((16, 16))).astype(np.uint8)
            disparity = rng.integers(0, 32258, (256, 512)).astype(np.uint16)
            write_frame(root, split, frame, photo, label, disparity)
    return root


def raw_of(tree: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, masks: str = "0\t10\n1\t01\n2\t10\n") -> Raw:
    return local_raw("cityscapes", tree, folder, monkeypatch, (32, 64), onelabel=masks)


def test_a_sample_holds_what_the_npy_tree_holds(scenes: Path) -> None:
    assert cityscapes.ids(scenes, "train") == ["0", "1", "2"]
    sample = cityscapes.read(scenes, "train", "1")
    image, label, depth = (np.load(scenes / name) for name in cityscapes.files(scenes, "train", "1"))
    assert np.abs(sample.image / 255 - image).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(sample.labels["semseg"] == 255, label == -1)
    assert np.array_equal(sample.labels["semseg"][label >= 0], label[label >= 0])
    assert np.array_equal(sample.labels["depth"], depth[..., 0])


def test_label_ids_become_the_seven_categories() -> None:
    by_name = {
        7: 0, 8: 0, 9: 0, 10: 0, 11: 1, 12: 1, 13: 1, 14: 1, 15: 1, 16: 1, 17: 2, 18: 2, 19: 2, 20: 2, 21: 3, 22: 3, 23: 4,
        24: 5, 25: 5, 26: 6, 27: 6, 28: 6, 29: 6, 30: 6, 31: 6, 32: 6, 33: 6,
    }  # fmt: skip
    assert cityscapes.CATEGORY.tolist() == [by_name.get(k, 255) for k in range(34)]


def test_frames_are_in_the_order_of_their_cities(official: Path) -> None:
    assert cityscapes.ids(official, "train") == list(FRAMES["train"])
    assert cityscapes.ids(official, "val") == list(FRAMES["val"])


def test_a_frame_is_brought_to_the_size_of_the_benchmark(official: Path) -> None:
    frame = FRAMES["train"][0]
    sample = cityscapes.read(official, "train", frame)
    photo, label, disparity = (np.asarray(Image.open(official / f)) for f in cityscapes.files(official, "train", frame))
    assert sample.image.shape == (128, 256, 3)
    inside = sample.image[1:-1, 1:-1].astype(float)
    blocks = photo.reshape(128, 2, 256, 2, 3).mean((1, 3))[1:-1, 1:-1]
    assert np.corrcoef(inside.ravel(), blocks.ravel())[0, 1] > 0.8  # averaged, by a wider filter than a block
    assert np.array_equal(sample.labels["semseg"], cityscapes.CATEGORY[label[1::2, 1::2]])
    assert np.array_equal(sample.labels["depth"], (disparity[1::2, 1::2] / 65535).astype(np.float32))


def test_odd_sizes_are_read(tmp_path: Path) -> None:
    photo, label = np.full((129, 259, 3), 70, np.uint8), np.full((129, 259), 23, np.uint8)
    write_frame(tmp_path, "train", "ulm_000000_000019", photo, label, np.full((129, 259), 655, np.uint16))
    sample = cityscapes.read(tmp_path, "train", "ulm_000000_000019")
    assert sample.image.shape == (128, 256, 3)
    assert (sample.labels["semseg"] == 4).all()
    assert np.allclose(sample.labels["depth"], 655 / 65535)


def test_both_layouts_give_the_same_sample(scenes: Path, tmp_path: Path) -> None:
    """What the npy tree holds, written as official frames, is read as the same."""
    image, label, depth = (np.load(scenes / name) for name in cityscapes.files(scenes, "train", "0"))
    ids = np.array([0, 7, 11, 17, 21, 23, 24, 26], np.uint8)[label.astype(int) + 1]
    disparity = np.rint(depth[..., 0] * 65535).astype(np.uint16)
    write_frame(tmp_path, "train", "ulm_000000_000019", np.round(image * 255).astype(np.uint8), ids, disparity)
    one, other = cityscapes.read(scenes, "train", "0"), cityscapes.read(tmp_path, "train", "ulm_000000_000019")
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.labels["semseg"], other.labels["semseg"])
    assert np.allclose(one.labels["depth"], other.labels["depth"], atol=1e-7)


def test_real_frames_are_read(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "cityscapes_samples"
    frames = cityscapes.ids(root, "train")
    assert frames == [f"aachen_00000{k}_000019" for k in range(3)]
    for frame in frames:
        photo, label, _ = cityscapes.files(root, "train", frame)
        for name in (photo, label):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, tmp_path / name)
        disparity = tmp_path / f"disparity/train/aachen/{frame}_disparity.png"  # the samples have none
        disparity.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((1024, 2048), np.uint16)).save(disparity)
        sample = cityscapes.read(tmp_path, "train", frame)
        classes = np.bincount(sample.labels["semseg"].ravel(), minlength=256) / sample.labels["semseg"].size
        assert classes[0] > 0.3  # road
        assert classes[1] > 0.1  # buildings
        assert 0.05 < classes[255] < 0.1  # the car's own bonnet and such
        assert set(np.flatnonzero(classes)) <= {*range(7), 255}
        assert sample.labels["semseg"][-1].tolist() == [255] * 256
        assert 40 < sample.image.mean() < 110


@pytest.mark.parametrize("layout", ["npy", "official"])
def test_shards_are_built_from_either_layout(
    scenes: Path,
    official: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    layout: str,
) -> None:
    tree = scenes if layout == "npy" else official
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in tree.rglob("*")}
    raw = raw_of(tree, tmp_path, monkeypatch)
    build(raw)
    assert "cityscapes_onelabel.tsv is not the published cityscapes onelabel mapping" in capsys.readouterr().err
    shard = Shard(raw.paths.shard("cityscapes", "train"))
    assert shard.ids == (["0", "1", "2"] if layout == "npy" else list(FRAMES["train"]))
    assert list(shard.outputs) == ["semseg", "depth"]
    assert shard.label_mask("onelabel").tolist() == shard.label_mask("randomlabels").tolist() == [[1, 0], [0, 1], [1, 0]]
    assert shard.label_mask("full").all()
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in tree.rglob("*")} == before


def test_the_one_published_mapping_is_that_of_both_settings(shared_data: Path) -> None:
    folder, cityscapes = shared_data / "xtc_mappings" / "original", benchmark("cityscapes")
    assert find_mapping(folder, cityscapes, "randomlabels") == find_mapping(folder, cityscapes, "onelabel")


BAD_NPY = [
    (lambda tree: shutil.rmtree(tree / "val"), r"val/image holds no k\.npy: expected the MTAN tree .*image,label_7,depth"),
    (lambda tree: (tree / "train/label_7/1.npy").unlink(), r"train/label_7/1\.npy is missing"),
    (lambda tree: (tree / "train/image/1.npy").unlink(), r"train/image/1\.npy is missing: complete the folder"),
    (
        lambda tree: shutil.copy(tree / "train/image/1.npy", tree / "train/image/01.npy"),
        r"image/01\.npy: name it 1\.npy, or delete",
    ),
    (
        edited("train/image/0.npy", lambda a: np.kron(a, np.ones((2, 2, 1)))),
        r"0\.npy has shape \(256, 512, 3\), but \(128, 256, 3\)",
    ),
    (edited("train/label_7/0.npy", at(7)), r"train/label_7/0\.npy: class 7 at \(7, 9\) is outside -1\.\.6"),
    (edited("val/depth/0.npy", at(np.nan)), r"val/depth/0\.npy holds NaN"),
    (edited("val/depth/0.npy", at(-0.1)), r"val/depth/0\.npy: depth -0\.1 at \(7, 9\) is outside 0\.\.1"),
    (edited("val/depth/0.npy", lambda a: a * 65535), r"val/depth/0\.npy: depth \d+"),
]


@pytest.mark.parametrize(("damage", "message"), BAD_NPY)
def test_bad_npy_files_are_named(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], message: str
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(scenes, tree)
    damage(tree)
    raw = raw_of(tree, tmp_path, monkeypatch)
    assert_refused(raw, message)


def _save(part: str, array: np.ndarray) -> Callable[[Path], None]:
    """Replace that part of the first training frame."""
    name = f"{part}/train/aachen/{FRAMES['train'][0]}_{cityscapes.PARTS[part]}.png"
    return lambda root: Image.fromarray(array).save(root / name)


def _cut(root: Path) -> None:
    path = root / f"gtFine/train/aachen/{FRAMES['train'][0]}_gtFine_labelIds.png"
    path.write_bytes(path.read_bytes()[:200])


ONES = np.ones((256, 512), np.uint8)
BAD_FRAMES = [
    (lambda root: shutil.rmtree(root / "leftImg8bit/val"), r"holds neither .*label_7.* nor leftImg8bit/val/<city>"),
    (lambda root: shutil.rmtree(root / "disparity"), r"aachen_000000_000019_disparity\.png is missing"),
    (_cut, r"gtFine_labelIds\.png is truncated or no image"),
    (_save("gtFine", 34 * ONES), r"gtFine_labelIds\.png: class 34 is no labelId \(0 to 33\)"),
    (_save("gtFine", ONES[:128]), r"gtFine_labelIds\.png is of \(128, 512\) pixels, its photo of \(256, 512\)"),
    (_save("disparity", ONES), r"disparity\.png is an image of mode L, but I;16 or I is expected"),
    (_save("leftImg8bit", ONES), r"leftImg8bit\.png is an image of mode L, but RGB is expected"),
]


@pytest.mark.parametrize(("damage", "message"), BAD_FRAMES)
def test_bad_frames_are_named(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], message: str
) -> None:
    damage(official)
    assert_refused(raw_of(official, tmp_path, monkeypatch), message)


def test_an_all_void_label_is_read_as_all_ignore(scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "tree")
    edited("train/label_7/0.npy", lambda a: np.full_like(a, -1))(tmp_path / "tree")
    assert (cityscapes.read(tmp_path / "tree", "train", "0").labels["semseg"] == 255).all()
    assert (cityscapes.read(tmp_path / "tree", "train", "1").labels["semseg"] != 255).any()


@pytest.mark.parametrize("masks", ["0\t10\n1\t01\n", "0\t10\n1\t01\n2\t10\n3\t01\n"])
def test_masks_of_other_images_are_refused(official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, masks: str) -> None:
    assert_refused(raw_of(official, tmp_path, monkeypatch, masks), "use the mapping made for exactly these images")
