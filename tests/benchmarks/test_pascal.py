"""The PASCAL reader: every rule of the published labels, and real VOC files."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from helpers.pascal import SIZE, annotation, mask, put, thing
from helpers.raw import build
from PIL import Image
from scipy.ndimage import label as connected

from dmtl.benchmarks.pascal import encode, people
from dmtl.benchmarks.pascal import files as pascal
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards


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


def test_a_sample_holds_what_the_files_hold(pascal_tree: Path) -> None:
    sample = pascal.read(pascal_tree, "train", "2008_1")
    assert {task: (label.shape, label.dtype) for task, label in sample.labels.items()} == {
        "semseg": (SIZE, np.uint8),
        "human_parts": (SIZE, np.uint8),
        "saliency": (SIZE, np.uint8),
        "normals": ((*SIZE, 3), np.uint8),
        "boundary": (SIZE, np.uint8),
    }
    assert np.array_equal(sample.image, np.asarray(Image.open(pascal_tree / "JPEGImages/2008_1.jpg")))
    assert set(np.unique(sample.labels["semseg"])) == {0, 15}
    grey = np.asarray(Image.open(pascal_tree / "sal_distill/2008_1.png"))
    assert np.array_equal(sample.labels["saliency"], grey / 255 > 0.5)
    assert sample.extras == {}
    test = pascal.read(pascal_tree, "val", "2009_1")
    assert np.array_equal(
        test.extras["label_map"], scipy.io.loadmat(pascal_tree / "pascal-context/trainval/2009_1.mat")["LabelMap"]
    )
    assert test.extras["label_map"].dtype == np.uint16


def test_voc_semseg_is_taken_first(pascal_tree: Path) -> None:
    assert pascal.files(pascal_tree, "train", "2008_1")[2] == "semseg/pascal-context/2008_1.png"
    label = np.full(SIZE, 7, np.uint8)
    label[0, 0] = 255
    Image.fromarray(label).save(pascal_tree / "semseg/VOC12/2008_1.png")
    assert pascal.files(pascal_tree, "train", "2008_1")[2] == "semseg/VOC12/2008_1.png"
    assert np.array_equal(pascal.read(pascal_tree, "train", "2008_1").labels["semseg"], label)


def test_normals_are_kept_where_the_class_has_any(pascal_tree: Path) -> None:
    codes = np.asarray(Image.open(pascal_tree / "normals_distill/2008_1.png"))
    label_map = scipy.io.loadmat(pascal_tree / "pascal-context/trainval/2008_1.mat")["LabelMap"]
    normals = pascal.read(pascal_tree, "train", "2008_1").labels["normals"]
    assert np.array_equal(normals[label_map != 360], codes[label_map != 360])
    assert (normals[label_map == 360] == 128).all()  # sky


def test_boundaries_are_thin_and_where_classes_meet(pascal_tree: Path) -> None:
    sample = pascal.read(pascal_tree, "val", "2009_1")
    edge, label_map = sample.labels["boundary"], sample.extras["label_map"].astype(int)
    padded = np.pad(label_map, 1, mode="reflect")
    four = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * label_map
    assert set(np.unique(edge)) == {0, 1}
    assert (four[edge == 1] != 0).all()
    assert 0 < edge.sum() < (four != 0).sum()
    assert not (edge[:-1, :-1] & edge[1:, :-1] & edge[:-1, 1:] & edge[1:, 1:]).any()  # no 2x2 block
    assert connected(edge, np.ones((3, 3)))[1] == connected(four != 0, np.ones((3, 3)))[1]


def test_parts_are_painted_in_file_order_and_only_of_people(pascal_tree: Path) -> None:
    path = pascal_tree / "human_parts/2008_1.mat"
    whole, left, top = mask(slice(0, 30), slice(0, 40)), mask(slice(0, 30), slice(0, 20)), mask(slice(0, 9), slice(0, 40))
    scipy.io.savemat(
        path,
        annotation(
            thing(7, whole, {"wheel": whole}),
            thing(15, whole, {"torso": whole, "lhand": left, "reye": top}),
            thing(15, top, {}),
            thing(15, left, {"rfoot": mask(slice(20, 30), slice(0, 5))}),
        ),
    )
    parts = pascal.read(pascal_tree, "train", "2008_1").labels["human_parts"]
    expected = np.full(SIZE, 2)
    expected[:, :20] = 4
    expected[:9] = 1
    expected[20:, :5] = 6
    assert np.array_equal(parts, expected)


@pytest.mark.parametrize(
    "objects", [(), (thing(7, mask(slice(0, 9), slice(0, 9)), {}),), (thing(15, mask(slice(0), slice(0)), {}),)]
)
def test_nobody_means_no_parts(pascal_tree: Path, objects: tuple[Any, ...]) -> None:
    scipy.io.savemat(pascal_tree / "human_parts/2008_1.mat", annotation(*objects))
    assert not pascal.read(pascal_tree, "train", "2008_1").labels["human_parts"].any()


def test_labels_of_another_size_are_brought_to_the_photo(pascal_tree: Path) -> None:
    before = pascal.read(pascal_tree, "train", "2008_1").labels
    for folder in ("semseg/pascal-context", "sal_distill", "normals_distill"):
        path = pascal_tree / folder / "2008_1.png"
        Image.open(path).resize((80, 60), Image.Resampling.NEAREST).save(path)
    path = pascal_tree / "pascal-context/trainval/2008_1.mat"
    scipy.io.savemat(path, {"LabelMap": scipy.io.loadmat(path)["LabelMap"].repeat(2, 0).repeat(2, 1).astype(float)})
    after = pascal.read(pascal_tree, "train", "2008_1").labels
    assert all(np.array_equal(after[task], before[task]) for task in ("semseg", "saliency", "boundary", "human_parts"))
    assert np.array_equal((after["normals"] == 128).all(-1), (before["normals"] == 128).all(-1))


def test_photos_are_read_as_stored(pascal_tree: Path) -> None:
    """A grey photo becomes RGB; an EXIF rotation is not applied, since the labels are of the stored pixels."""
    path = pascal_tree / "JPEGImages/2008_1.jpg"
    stored = np.asarray(Image.open(path))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(path, exif=exif, quality=100)
    assert pascal.read(pascal_tree, "train", "2008_1").image.shape == stored.shape
    Image.fromarray(stored[..., 0]).save(path)
    grey = pascal.read(pascal_tree, "train", "2008_1").image
    assert grey.shape == stored.shape
    assert (grey[..., 0] == grey[..., 2]).all()


@pytest.mark.parametrize("below", ["PASCALContext", "PASCAL_MT"])
def test_the_tree_may_lie_below_the_given_folder(pascal_tree: Path, tmp_path: Path, below: str) -> None:
    shutil.copytree(pascal_tree, tmp_path / "given" / below)
    root = tmp_path / "given"
    assert pascal.ids(root, "val") == ["2009_1", "2009_2"]
    assert np.array_equal(pascal.read(root, "train", "2008_1").image, pascal.read(pascal_tree, "train", "2008_1").image)
    assert all((root / name).is_file() for name in pascal.files(root, "train", "2008_1"))


def test_shards_hold_images_of_their_own_size(pascal_raw: Raw, pascal_tree: Path) -> None:
    put(pascal_tree, "2009_2", (90, 50))  # taller than the canvas
    build(pascal_raw)
    train, val = (Shard(pascal_raw.paths.shard("pascal", split)) for split in ("train", "val"))
    assert train.size == val.size == (64, 64)
    assert [val.content_size(k) for k in range(2)] == [SIZE, (64, 36)]
    assert [val.original_size(k) for k in range(2)] == [SIZE, (90, 50)]
    sample = pascal.read(pascal_tree, "val", "2009_1")
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


def test_the_list_of_odsf_is_found_and_checked(pascal_tree: Path, tmp_path: Path, shared_data: Path) -> None:
    assert pascal.boundary_list(pascal_tree, None).holds(["2009_1", "2009_2"]).tolist() == [True, True]
    (pascal_tree / "ImageSets/Context/test_new.txt").write_text("2009_2\n")
    assert pascal.boundary_list(pascal_tree, None).holds(["2009_1", "2009_2"]).tolist() == [False, True]
    with pytest.raises(UserError, match=r"test_new\.txt is not the published list"):
        pascal.boundary_list(pascal_tree, tmp_path)
    (pascal_tree / "ImageSets/Context/test_new.txt").unlink()
    published = pascal.boundary_list(pascal_tree, shared_data / "xtc_mappings")
    assert published.title == "test_new (2498 images, SHA-256 1998ea178a46)"
    assert published.holds(["2008_000002", "2008_000003"]).tolist() == [False, True]


def test_a_list_that_appears_later_is_noticed(pascal_raw: Raw, shared_data: Path) -> None:
    pascal_raw.write_manifest()
    shutil.copy(shared_data / "xtc_mappings/splits/pascal_test_new.txt", os.environ["DMTL_MAPPINGS"])
    with pytest.raises(UserError, match=r"test_new\.txt\) has changed since it was listed"):
        build_shards(pascal_raw)
    build(pascal_raw)
    assert Shard(pascal_raw.paths.shard("pascal", "val")).boundary_listed.tolist() == [False, False]


def test_real_parts_are_read(shared_data: Path) -> None:
    """All 18 PASCAL-Part samples against a plain reading by position."""
    shown = 0
    for path in sorted((shared_data / "pascal_samples/parts").glob("*.mat")):
        with Image.open(path.with_suffix(".jpg")) as photo:
            size = photo.size[::-1]
        parts = pascal._human_parts(path, size)
        expected = np.zeros(size, np.uint8)
        for found in scipy.io.loadmat(path)["anno"][0][0][1][0]:
            if found[1][0, 0] == 15 and found[3].size:
                for part in found[3][0]:
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
