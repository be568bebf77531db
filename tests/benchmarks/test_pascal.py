"""The PASCAL reader: every rule of the published labels, real VOC files, and every bad input told in one line."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from helpers.raw import assert_refused, build, local_raw
from PIL import Image
from scipy.ndimage import label as connected

from dmtl.benchmarks.pascal import encode, people
from dmtl.benchmarks.pascal import files as pascal
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards

SIZE = (30, 40)
FOLDERS = ("JPEGImages", "pascal-context/trainval", "semseg/VOC12", "semseg/pascal-context", "human_parts")
FOLDERS += ("normals_distill", "sal_distill", "ImageSets/Context")


def _mask(rows: slice, columns: slice, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[rows, columns] = 1
    return mask


def _object(kind: int, mask: np.ndarray, parts: dict[str, np.ndarray]) -> tuple[Any, ...]:
    return ("thing", kind, mask, encode._struct(("part_name", "mask"), list(parts.items())))


def _annotation(*objects: tuple[Any, ...]) -> dict[str, np.ndarray]:
    found = encode._struct(("class", "class_ind", "mask", "parts"), list(objects))
    return {"anno": encode._struct(("imname", "objects"), [("x", found)])}


def _put(tree: Path, name: str, size: tuple[int, int] = SIZE) -> None:
    """A small image with all its files: a person at the left of a wall, below a sky."""
    for folder in FOLDERS:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(name))
    label_map = np.full(size, 440, np.uint16)
    label_map[: size[0] // 3] = 360
    label_map[5:25, 5:15] = 284
    person = (label_map == 284).astype(np.uint8)
    parts = {"torso": person, "hair": _mask(slice(5, 9), slice(5, 15), size)}
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(tree / f"JPEGImages/{name}.jpg")
    scipy.io.savemat(tree / f"pascal-context/trainval/{name}.mat", {"LabelMap": label_map})
    scipy.io.savemat(tree / f"human_parts/{name}.mat", _annotation(_object(15, person, parts)))
    Image.fromarray(person * 15).save(tree / f"semseg/pascal-context/{name}.png")
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(tree / f"normals_distill/{name}.png")
    Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(tree / f"sal_distill/{name}.png")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two training images and two test images."""
    root = tmp_path / "a tree é"  # a space and a letter beyond ASCII
    for name in ("2008_1", "2008_2", "2009_1", "2009_2"):
        _put(root, name)
    (root / "ImageSets/Context/train.txt").write_text("2008_1\n2008_2\n")
    (root / "ImageSets/Context/val.txt").write_text("2009_1\n2009_2\n")
    return root


@pytest.fixture
def raw(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Raw:
    """The tree as the user's own, with mappings."""
    masks = "2008_1\t10000\n2008_2\t01010\n"
    return local_raw("pascal", tree, tmp_path, monkeypatch, (64, 64), onelabel=masks, randomlabels=masks)


def test_the_constants_are_the_published_ones(shared_data: Path) -> None:
    digest = "03c5d37b69a554d9271a740ae352e77b86dd48fb855ea1fa92fa5ef9a793f8a1"
    assert hashlib.sha256(pascal.NORMALS_CLASSES.encode()).hexdigest() == digest
    assert pascal.HAS_NORMALS.sum() == 170
    names = (shared_data / "xtc_mappings/pascal_normals_valid_context_ids.tsv").read_text().splitlines()
    assert [int(line.split("\t")[0]) for line in names] == np.flatnonzero(pascal.HAS_NORMALS).tolist()
    list_of_odsf = (shared_data / "xtc_mappings/splits/pascal_test_new.txt").read_bytes()
    assert hashlib.sha256(list_of_odsf).hexdigest() == pascal.TEST_NEW
    assert len(pascal.CLASSES) == len(encode.SEMSEG) == 21
    assert len(pascal.PARTS) == 7 == max(pascal.PART_CLASSES.values()) + 1
    assert set(people.PARTS) <= set(pascal.PART_CLASSES)


def test_a_sample_holds_what_the_files_hold(tree: Path) -> None:
    sample = pascal.read(tree, "train", "2008_1")
    assert {task: (label.shape, label.dtype) for task, label in sample.labels.items()} == {
        "semseg": (SIZE, np.uint8),
        "human_parts": (SIZE, np.uint8),
        "saliency": (SIZE, np.uint8),
        "normals": ((*SIZE, 3), np.uint8),
        "boundary": (SIZE, np.uint8),
    }
    assert np.array_equal(sample.image, np.asarray(Image.open(tree / "JPEGImages/2008_1.jpg")))
    assert set(np.unique(sample.labels["semseg"])) == {0, 15}
    grey = np.asarray(Image.open(tree / "sal_distill/2008_1.png"))
    assert np.array_equal(sample.labels["saliency"], grey / 255 > 0.5)
    assert sample.extras == {}
    test = pascal.read(tree, "val", "2009_1")
    assert np.array_equal(test.extras["label_map"], scipy.io.loadmat(tree / "pascal-context/trainval/2009_1.mat")["LabelMap"])
    assert test.extras["label_map"].dtype == np.uint16


def test_voc_semseg_is_taken_first(tree: Path) -> None:
    assert pascal.files(tree, "train", "2008_1")[2] == "semseg/pascal-context/2008_1.png"
    label = np.full(SIZE, 7, np.uint8)
    label[0, 0] = 255
    Image.fromarray(label).save(tree / "semseg/VOC12/2008_1.png")
    assert pascal.files(tree, "train", "2008_1")[2] == "semseg/VOC12/2008_1.png"
    assert np.array_equal(pascal.read(tree, "train", "2008_1").labels["semseg"], label)


def test_normals_are_kept_where_the_class_has_any(tree: Path) -> None:
    codes = np.asarray(Image.open(tree / "normals_distill/2008_1.png"))
    label_map = scipy.io.loadmat(tree / "pascal-context/trainval/2008_1.mat")["LabelMap"]
    normals = pascal.read(tree, "train", "2008_1").labels["normals"]
    assert np.array_equal(normals[label_map != 360], codes[label_map != 360])
    assert (normals[label_map == 360] == 128).all()  # sky


def test_boundaries_are_thin_and_where_classes_meet(tree: Path) -> None:
    sample = pascal.read(tree, "val", "2009_1")
    edge, label_map = sample.labels["boundary"], sample.extras["label_map"].astype(int)
    padded = np.pad(label_map, 1, mode="reflect")
    four = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * label_map
    assert set(np.unique(edge)) == {0, 1}
    assert (four[edge == 1] != 0).all()
    assert 0 < edge.sum() < (four != 0).sum()
    assert not (edge[:-1, :-1] & edge[1:, :-1] & edge[:-1, 1:] & edge[1:, 1:]).any()  # no 2x2 block
    assert connected(edge, np.ones((3, 3)))[1] == connected(four != 0, np.ones((3, 3)))[1]


def test_parts_are_painted_in_file_order_and_only_of_people(tree: Path) -> None:
    path = tree / "human_parts/2008_1.mat"
    whole, left, top = _mask(slice(0, 30), slice(0, 40)), _mask(slice(0, 30), slice(0, 20)), _mask(slice(0, 9), slice(0, 40))
    scipy.io.savemat(
        path,
        _annotation(
            _object(7, whole, {"wheel": whole}),
            _object(15, whole, {"torso": whole, "lhand": left, "reye": top}),
            _object(15, top, {}),
            _object(15, left, {"rfoot": _mask(slice(20, 30), slice(0, 5))}),
        ),
    )
    parts = pascal.read(tree, "train", "2008_1").labels["human_parts"]
    expected = np.full(SIZE, 2)
    expected[:, :20] = 4
    expected[:9] = 1
    expected[20:, :5] = 6
    assert np.array_equal(parts, expected)


@pytest.mark.parametrize(
    "objects", [(), (_object(7, _mask(slice(0, 9), slice(0, 9)), {}),), (_object(15, _mask(slice(0), slice(0)), {}),)]
)
def test_nobody_means_no_parts(tree: Path, objects: tuple[Any, ...]) -> None:
    scipy.io.savemat(tree / "human_parts/2008_1.mat", _annotation(*objects))
    assert not pascal.read(tree, "train", "2008_1").labels["human_parts"].any()


def test_labels_of_another_size_are_brought_to_the_photo(tree: Path) -> None:
    before = pascal.read(tree, "train", "2008_1").labels
    for folder in ("semseg/pascal-context", "sal_distill", "normals_distill"):
        path = tree / folder / "2008_1.png"
        Image.open(path).resize((80, 60), Image.Resampling.NEAREST).save(path)
    path = tree / "pascal-context/trainval/2008_1.mat"
    scipy.io.savemat(path, {"LabelMap": scipy.io.loadmat(path)["LabelMap"].repeat(2, 0).repeat(2, 1).astype(float)})
    after = pascal.read(tree, "train", "2008_1").labels
    assert all(np.array_equal(after[task], before[task]) for task in ("semseg", "saliency", "boundary", "human_parts"))
    assert np.array_equal((after["normals"] == 128).all(-1), (before["normals"] == 128).all(-1))


def test_photos_are_read_as_stored(tree: Path) -> None:
    """A grey photo becomes RGB; an EXIF rotation is not applied, since the labels are of the stored pixels."""
    path = tree / "JPEGImages/2008_1.jpg"
    stored = np.asarray(Image.open(path))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(path, exif=exif, quality=100)
    assert pascal.read(tree, "train", "2008_1").image.shape == stored.shape
    Image.fromarray(stored[..., 0]).save(path)
    grey = pascal.read(tree, "train", "2008_1").image
    assert grey.shape == stored.shape
    assert (grey[..., 0] == grey[..., 2]).all()


@pytest.mark.parametrize("below", ["PASCALContext", "PASCAL_MT"])
def test_the_tree_may_lie_below_the_given_folder(tree: Path, tmp_path: Path, below: str) -> None:
    shutil.copytree(tree, tmp_path / "given" / below)
    root = tmp_path / "given"
    assert pascal.ids(root, "val") == ["2009_1", "2009_2"]
    assert np.array_equal(pascal.read(root, "train", "2008_1").image, pascal.read(tree, "train", "2008_1").image)
    assert all((root / name).is_file() for name in pascal.files(root, "train", "2008_1"))


def test_shards_hold_images_of_their_own_size(raw: Raw, tree: Path) -> None:
    _put(tree, "2009_2", (90, 50))  # taller than the canvas
    build(raw)
    train, val = (Shard(raw.paths.shard("pascal", split)) for split in ("train", "val"))
    assert train.size == val.size == (64, 64)
    assert [val.content_size(k) for k in range(2)] == [SIZE, (64, 36)]
    assert [val.original_size(k) for k in range(2)] == [SIZE, (90, 50)]
    sample = pascal.read(tree, "val", "2009_1")
    assert np.array_equal(val.image(0), sample.image)
    assert np.array_equal(val.label_map(0), sample.extras["label_map"])
    assert all(
        np.array_equal(val.label(task, 0), sample.labels[task]) for task in ("semseg", "human_parts", "saliency", "boundary")
    )
    assert val.label_map(1).shape == val.label("semseg", 1).shape == val.image(1).shape[:2] == (64, 36)
    codes = sample.labels["normals"]
    vectors = np.where((codes == 128).all(-1, keepdims=True), 0, 2 * codes.astype(float) / 255 - 1)
    assert np.abs(val.label("normals", 0) - vectors).max() < 1e-6
    assert np.array_equal(np.rint((val.label("normals", 0) + 1) * 127.5)[(codes != 128).any(-1)], codes[(codes != 128).any(-1)])
    assert val.boundary_listed.tolist() == [True, True]
    assert val.about["boundary_list"].startswith("all of val: no list test_new")
    assert train.label_mask("onelabel").tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 1, 0]]
    with h5py.File(train.path, locking=False) as file:  # by HDF5's own filters
        assert "label_map" not in file
        assert np.array_equal(file["image"][0, :30, :40], train.image(0))
        assert not file["image"][0, :, 40:].any()
        assert not file["image"][0, 30:].any()
        assert (file["semseg"][0, 30:] == 255).all()
        assert (file["normals"][0, :, 30:] == 128).all()
        assert np.array_equal(file["boundary"][1, :30, :40], train.label("boundary", 1))


def test_the_list_of_odsf_is_found_and_checked(tree: Path, tmp_path: Path, shared_data: Path) -> None:
    assert pascal.boundary_list(tree, None).holds(["2009_1", "2009_2"]).tolist() == [True, True]
    (tree / "ImageSets/Context/test_new.txt").write_text("2009_2\n")
    assert pascal.boundary_list(tree, None).holds(["2009_1", "2009_2"]).tolist() == [False, True]
    with pytest.raises(UserError, match=r"test_new\.txt is not the published list"):
        pascal.boundary_list(tree, tmp_path)
    (tree / "ImageSets/Context/test_new.txt").unlink()
    published = pascal.boundary_list(tree, shared_data / "xtc_mappings")
    assert published.title == "test_new (2498 images, SHA-256 1998ea178a46)"
    assert published.holds(["2008_000002", "2008_000003"]).tolist() == [False, True]


def test_a_list_that_appears_later_is_noticed(raw: Raw, shared_data: Path) -> None:
    raw.write_manifest()
    shutil.copy(shared_data / "xtc_mappings/splits/pascal_test_new.txt", os.environ["DMTL_MAPPINGS"])
    with pytest.raises(UserError, match=r"test_new\.txt\) has changed since it was listed"):
        build_shards(raw)
    build(raw)
    assert Shard(raw.paths.shard("pascal", "val")).boundary_listed.tolist() == [False, False]


def test_real_parts_are_read(shared_data: Path) -> None:
    """All 18 PASCAL-Part samples against a plain reading by position."""
    shown = 0
    for path in sorted((shared_data / "pascal_samples/parts").glob("*.mat")):
        with Image.open(path.with_suffix(".jpg")) as photo:
            size = photo.size[::-1]
        parts = pascal._human_parts(path, size)
        expected = np.zeros(size, np.uint8)
        for thing in scipy.io.loadmat(path)["anno"][0][0][1][0]:
            if thing[1][0, 0] == 15 and thing[3].size:
                for part in thing[3][0]:
                    expected[part[1] > 0] = pascal.PART_CLASSES[str(part[0][0])]
        assert np.array_equal(parts, expected), path.name
        shown += bool(parts.any())
    assert shown == 8


def test_real_masks_and_photos_are_read(shared_data: Path) -> None:
    folder = shared_data / "pascal_samples/voc"
    masks = sorted((folder / "SegmentationClass").glob("*.png"))
    assert len(masks) == 60
    seen = set()
    for path in masks:
        image = pascal._photo(folder / "JPEGImages" / f"{path.stem}.jpg")
        label = pascal._semseg(path, image.shape[:2])
        assert label.shape == image.shape[:2]
        seen |= set(np.unique(label).tolist())
    assert {0, 255} < seen <= {*range(21), 255}
    assert len(seen) > 8


def _truncated(name: str, size: int) -> Any:
    return lambda tree: os.truncate(tree / name, size)


def _saved(name: str, pixels: np.ndarray, mode: str | None = None) -> Any:
    def save(tree: Path) -> None:
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(tree / name)

    return save


def _matlab(name: str, variables: dict[str, Any]) -> Any:
    return lambda tree: scipy.io.savemat(tree / name, variables)


def _new_matlab(tree: Path) -> None:
    """A file with the header of version 7.3, as MATLAB writes it before the HDF5 part."""
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tree / "pascal-context/trainval/2008_1.mat").write_bytes(head + bytes(400))


def _listed(text: str) -> Any:
    return lambda tree: (tree / "ImageSets/Context/train.txt").write_text(text)


def _map(value: float) -> np.ndarray:
    label_map = np.full(SIZE, 440.0)
    label_map[3, 4] = value
    return label_map


GREY = np.full(SIZE, 9, np.uint8)
MAT, PHOTO, SEMSEG, PARTS = (
    "pascal-context/trainval/2008_1.mat",
    "JPEGImages/2008_1.jpg",
    "semseg/pascal-context/2008_1.png",
    "human_parts/2008_1.mat",
)
ODD_PART = _annotation(_object(15, GREY, {"tail": GREY}))
BAD = [
    (lambda tree: (tree / PHOTO).unlink(), r"2008_1\.jpg is missing: complete the folder"),
    (lambda tree: (tree / PARTS).unlink(), r"human_parts/2008_1\.mat is missing"),
    (lambda tree: (tree / SEMSEG).unlink(), r"semseg/pascal-context/2008_1\.png is missing"),
    (lambda tree: shutil.rmtree(tree / "ImageSets"), "holds no ImageSets/Context, nor do PASCALContext and PASCAL_MT below it"),
    (lambda tree: (tree / "ImageSets/Context/val.txt").unlink(), r"val\.txt is missing"),
    (_listed(""), r"train\.txt lists no image"),
    (_listed("2008_1\n2008_2\n2008_1\n"), r"train\.txt lists 2008_1 2 times"),
    (_listed("2008_1\n../../etc/passwd\n"), r"lists '\.\./\.\./etc/passwd', which is no image's name"),
    (_truncated(PHOTO, 400), r"2008_1\.jpg is truncated or no image"),
    (_truncated(PHOTO, 0), r"2008_1\.jpg is truncated or no image"),
    (_truncated(SEMSEG, 50), r"2008_1\.png is truncated or no image"),
    (_saved(PHOTO, np.zeros((*SIZE, 3), np.uint8), "CMYK"), r"2008_1\.jpg is an image of mode CMYK, but RGB or L is expected"),
    (_saved(PHOTO, np.zeros((40, 30, 3), np.uint8)), r"2008_1\.mat is 30x40, but its photo 40x30: one of them was turned"),
    (_saved(SEMSEG, np.full(SIZE, 21, np.uint8)), r"2008_1\.png: class 21 at \(0, 0\) is outside 0\.\.20"),
    (_saved(SEMSEG, np.zeros((*SIZE, 3), np.uint8)), r"2008_1\.png is an image of mode RGB, but P or L is expected"),
    (_saved("sal_distill/2008_1.png", GREY, "RGB"), r"sal_distill/2008_1\.png is an image of mode RGB, but L is expected"),
    (_saved("normals_distill/2008_1.png", GREY, "RGBA"), r"normals_distill/2008_1\.png is an image of mode RGBA"),
    (_truncated(MAT, 300), r"2008_1\.mat is truncated or no MATLAB file"),
    (_truncated(MAT, 10), r"2008_1\.mat is truncated or no MATLAB file"),
    (_new_matlab, r"2008_1\.mat is a MATLAB file of version 7\.3, but those published are of version 5"),
    (_matlab(MAT, {"Labels": GREY}), r"2008_1\.mat holds no variable 'LabelMap'"),
    (_matlab(MAT, {"LabelMap": _map(460)}), r"2008_1\.mat: class 460 at \(3, 4\) is outside 0\.\.459"),
    (_matlab(MAT, {"LabelMap": _map(-1)}), r"2008_1\.mat: class -1 at \(3, 4\)"),
    (_matlab(MAT, {"LabelMap": _map(2.5)}), r"2008_1\.mat: LabelMap is no table of class numbers"),
    (_matlab(MAT, {"LabelMap": _map(np.nan)}), r"2008_1\.mat: LabelMap is no table of class numbers"),
    (_matlab(MAT, {"LabelMap": "words"}), r"2008_1\.mat: LabelMap is no table of class numbers"),
    (_matlab(PARTS, {"LabelMap": GREY}), r"human_parts/2008_1\.mat holds no variable 'anno'"),
    (_matlab(PARTS, {"anno": GREY}), r"human_parts/2008_1\.mat: anno is not as PASCAL-Part publishes it"),
    (_matlab(PARTS, ODD_PART), r"human_parts/2008_1\.mat: a person has the part 'tail', which PASCAL-Part has not"),
]


@pytest.mark.parametrize(("damage", "message"), BAD)
def test_bad_files_are_named_and_leave_no_shard(raw: Raw, tree: Path, damage: Any, message: str) -> None:
    damage(tree)
    assert_refused(raw, message)


def test_a_file_that_changed_since_it_was_listed_is_refused(raw: Raw, tree: Path) -> None:
    raw.write_manifest()
    _put(tree, "2009_2", (31, 41))
    with pytest.raises(UserError, match=r"2009_2\.jpg has changed since it was listed: run 'dvc repro -f download@pascal'"):
        build_shards(raw)
