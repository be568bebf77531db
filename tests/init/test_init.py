"""`dmtl init`: what it guesses, what it writes, what it says when it looks again, and every fault in one line."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.own_data import ALL, SIZE, make_collection, scene, store
from helpers.project import ROOT
from PIL import Image

from dmtl.__main__ import main
from dmtl.benchmarks import read_own
from dmtl.benchmarks.folder.guess import guess
from dmtl.config import Project, for_report, for_training
from dmtl.init.look import Label, look, splits_of
from dmtl.init.recipe import Machine, canvas, plan

CPU, GPU = Machine(gpu=False, bfloat16=False, weights=True), Machine(gpu=True, bfloat16=True, weights=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_collection(tmp_path / "data")


def _init(*words: object) -> None:
    main(["init", *map(str, words)])


def test_it_writes_a_project_that_can_be_read_and_leaves_the_data_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    _init(tmp_path / "Boxes", "--data", data)
    said = capsys.readouterr().out
    assert f"cd {tmp_path / 'Boxes'} && dvc repro" in said
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    project = Project(tmp_path / "Boxes")
    assert project.own is not None
    assert project.own.name == "boxes"
    kinds = {name: task.kind for name, task in project.own.tasks.items()}
    assert kinds == {"depth": "depth", "flow": "regression", "normals": "normals", "semseg": "classes"}
    [collection] = project.own.collections.values()
    assert collection.tasks["semseg"].labels == {0: "class_0", 7: "class_7"}
    assert collection.tasks["depth"].scale == 0.001
    assert project.own.tasks["flow"].channels == 2
    cells = for_report(project).cells
    assert {cell.setting for cell in cells.values()} == {"given"}
    for key in cells:
        assert set(for_training(project, key).recipe.task_weights) == set(kinds)
    own = read_own(tmp_path / "Boxes")
    assert own is not None
    assert own.outputs == {"depth": 1, "flow": 2, "normals": 3, "semseg": 2}
    for row in ("data        semseg   classes     6      3", "7: 25.0 %", "training images by number of labels: 4: 6"):
        assert row in said
    assert not list(tmp_path.glob(".Boxes*")), "nothing half-made is left"


def test_dry_run_writes_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _init(tmp_path / "boxes", "--data", data, "--dry-run")
    assert "nothing was written" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_another_look_says_what_has_changed(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "boxes"
    _init(folder, "--data", data)
    text = (folder / "benchmark.yaml").read_text()
    _init(folder)
    assert "nothing has changed" in capsys.readouterr().out
    arrays = scene(99)
    store(data / "train" / "image", "99", arrays["image"])
    store(data / "train" / "semseg", "99", arrays["semseg"])
    (data / "val" / "depth" / "7.png").unlink()
    store(data / "val" / "image", "8", scene(98)["image"])
    _init(folder, "--dry-run")
    kept = (folder / "inventory.json").read_bytes()
    said = capsys.readouterr().out
    for line in ("data/train/image: 1 new", "data/train/semseg: 1 new", "data/val/depth: 1 gone", "data/val/image: 1 changed"):
        assert line in said
    _init(folder)
    assert (folder / "inventory.json").read_bytes() != kept
    assert (folder / "benchmark.yaml").read_text() == text, "what the user may have edited stays"


def test_collections_of_other_tasks_come_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks, depths = make_collection(tmp_path / "masks", ("semseg",)), make_collection(tmp_path / "depths", ("depth",), first=50)
    _init(tmp_path / "both", "--data", masks, depths)
    own = read_own(tmp_path / "both")
    assert own is not None
    ids = own.ids(tmp_path / "both", "train")
    assert ids == [f"masks-{k}" for k in range(6)] + [f"depths-{k}" for k in range(50, 56)]
    assert own.labelled is not None
    assert own.labelled(tmp_path / "both", "train", ids).tolist() == [[True, False]] * 6 + [[False, True]] * 6
    assert "with both: none of any two" in capsys.readouterr().out


def test_a_fifth_of_unsplit_images_are_test_images_whatever_is_added(tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for k in range(40):
        store(flat / "image", f"photo {k}", scene(k)["image"])
        store(flat / "semseg", f"photo {k}", scene(k)["semseg"])
    _init(tmp_path / "drawn", "--data", flat)
    own = read_own(tmp_path / "drawn")
    assert own is not None
    before = {split: set(own.ids(tmp_path / "drawn", split)) for split in ("train", "val")}
    assert 4 <= len(before["val"]) <= 14
    assert all(" " not in name for name in before["train"] | before["val"])
    store(flat / "image", "photo x", scene(77)["image"])
    after = {split: set(own.ids(tmp_path / "drawn", split)) for split in ("train", "val")}
    assert all(before[split] <= after[split] for split in before)


def test_broken_images_can_be_left_out(data: Path, tmp_path: Path) -> None:
    (data / "train" / "image" / "2.png").write_bytes((data / "train" / "image" / "2.png").read_bytes()[:-30])
    with pytest.raises(SystemExit):
        _init(tmp_path / "boxes", "--data", data)
    assert not (tmp_path / "boxes").exists()
    _init(tmp_path / "boxes", "--data", data, "--skip-broken")
    own = read_own(tmp_path / "boxes")
    assert own is not None
    assert own.ids(tmp_path / "boxes", "train") == ["0", "1", "3", "4", "5"]


# one line for each fault: what is done to the data, a part of what is said


def _truncate(path: Path, by: int = 40) -> None:
    path.write_bytes(path.read_bytes()[:-by])


def _other_size(data: Path) -> None:
    store(data / "train" / "depth", "1", scene(1, (20, 28))["depth"])


def _transposed(data: Path) -> None:
    store(data / "train" / "semseg", "1", np.ascontiguousarray(scene(1)["semseg"].T))


def _no_labels(data: Path) -> None:
    for split in ("train", "val"):
        for task in ALL:
            for file in (data / split / task).iterdir():
                file.unlink()


def _no_test_label(data: Path) -> None:
    for file in (data / "val" / "flow").iterdir():
        file.unlink()


def _no_training_label(data: Path) -> None:
    for file in (data / "train" / "flow").iterdir():
        file.unlink()


def _rgba_mask(data: Path) -> None:
    store(data / "train" / "semseg", "1", np.zeros((*SIZE, 4), np.uint8))


def _same_image(data: Path) -> None:
    (data / "val" / "image" / "6.png").write_bytes((data / "train" / "image" / "0.png").read_bytes())


def _same_stem(data: Path) -> None:
    Image.fromarray(scene(1)["image"]).save(data / "train" / "image" / "1.jpg")


def _same_stem_of_labels(data: Path) -> None:
    store(data / "train" / "semseg", "1", scene(1)["semseg"].astype(np.int64), ".npy")


def _link_out(data: Path) -> None:
    store(data.parent / "elsewhere", "0", scene(0)["image"])
    (data / "train" / "image" / "0.png").unlink()
    (data / "train" / "image" / "0.png").symlink_to(data.parent / "elsewhere" / "0.png")


def _link_of_a_label_out(data: Path) -> None:
    store(data.parent / "elsewhere", "0", scene(0)["semseg"])
    (data / "train" / "semseg" / "0.png").unlink()
    (data / "train" / "semseg" / "0.png").symlink_to(data.parent / "elsewhere" / "0.png")


def _empty(data: Path) -> None:
    for split in ("train", "val"):
        for file in (data / split / "image").iterdir():
            file.unlink()


def _no_val(data: Path) -> None:
    (data / "val").rename(data / "test")


def _no_image_folder(data: Path) -> None:
    for split in ("train", "val"):
        (data / split / "image").rename(data / split / "images")


def _objects(data: Path) -> None:
    np.save(data / "train" / "normals" / "1.npy", np.array([{"a": 1}], object), allow_pickle=True)


def _huge_header(data: Path) -> None:
    import struct

    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999, 9999999), }".ljust(117) + b"\n"
    (data / "train" / "normals" / "1.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)


def _text(data: Path) -> None:
    (data / "train" / "image" / "1.png").write_text("not a picture")


def _empty_file(data: Path) -> None:
    (data / "train" / "depth" / "1.png").write_bytes(b"")


def _eps(data: Path) -> None:
    (data / "train" / "image" / "1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")


def _unreadable(data: Path) -> None:
    (data / "train" / "image" / "1.png").unlink()
    (data / "train" / "image" / "1.png").mkdir()


def _four_dimensions(data: Path) -> None:
    np.save(data / "train" / "flow" / "1.npy", np.zeros((2, *SIZE, 2), np.float32))


def _long_name(data: Path) -> None:
    store(data / "train" / "image", "x" * 220, scene(0)["image"])


def _bomb(data: Path) -> None:
    Image.new("1", (9000, 9000)).save(data / "train" / "image" / "1.png")


def _bomb_of_a_label(data: Path) -> None:
    Image.new("1", (9000, 9000)).save(data / "train" / "semseg" / "1.png")


def _complex(data: Path) -> None:
    np.save(data / "train" / "normals" / "1.npy", np.zeros((*SIZE, 3), np.complex64))


def _words(data: Path) -> None:
    np.save(data / "train" / "flow" / "1.npy", np.full(SIZE, "sky"))


def _too_bright(data: Path) -> None:
    (data / "train" / "image" / "1.png").unlink()
    np.save(data / "train" / "image" / "1.npy", np.full((*SIZE, 3), 300.0))


def _grey_alpha_mask(data: Path) -> None:
    Image.fromarray(scene(1)["semseg"]).convert("LA").save(data / "train" / "semseg" / "1.png")


def _jpeg_named_png(data: Path) -> None:
    Image.fromarray(scene(1)["semseg"]).save(data / "train" / "semseg" / "1.png", "JPEG")


def _label_is_a_folder(data: Path) -> None:
    (data / "train" / "depth" / "1.png").unlink()
    (data / "train" / "depth" / "1.png").mkdir()


def _link_to_nothing(data: Path) -> None:
    (data / "train" / "image" / "1.png").unlink()
    (data / "train" / "image" / "1.png").symlink_to("nothing.png")


def _npz_named_npy(data: Path) -> None:
    with (data / "train" / "flow" / "1.npy").open("wb") as file:
        np.savez(file, flow=scene(1)["flow"])


def _no_pixels(data: Path) -> None:
    np.save(data / "train" / "flow" / "1.npy", np.zeros((0, 56, 2), np.float32))


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (_other_size, "train/depth/1.png is 20x28 (height x width), its image 40x56"),
    (_transposed, "train/semseg/1.png is 56x40 (height x width), its image 40x56"),
    (_no_labels, "no label is there beside the images"),
    (_no_test_label, "no test image has a label of 'flow'"),
    (_no_training_label, "no training image has a label of 'flow'"),
    (_rgba_mask, "is a PNG of mode RGBA, but labels are grey, palette or RGB without transparency"),
    (_same_image, "val/image/6.png a test image: keep one of them"),
    (_same_stem, "1.jpg and 1.png are of one name"),
    (_same_stem_of_labels, "1.npy and 1.png are of one name"),
    (_link_out, "image/0.png is a link that leads out of"),
    (_link_of_a_label_out, "semseg/0.png is a link that leads out of"),
    (_empty, "holds no image"),
    (_no_val, "has train/image but no val/image"),
    (_no_image_folder, "has no folder 'image', nor train/image and val/image"),
    (_objects, "normals/1.npy is truncated or no npy file"),
    (_huge_header, "normals/1.npy is truncated or no npy file"),
    (_text, "image/1.png is damaged or no image"),
    (_empty_file, "depth/1.png is truncated or no PNG"),
    (_eps, "image/1.png is damaged or no image"),
    (_unreadable, "image/1.png cannot be read"),
    (_four_dimensions, "but numbers (height, width[, channels]) are expected"),
    (_long_name, "has more than 200 letters"),
    (_bomb, "image/1.png: it has 81 million pixels, more than 64 million: make it smaller"),
    (_bomb_of_a_label, "semseg/1.png"),
    (_complex, "normals/1.npy holds complex64"),
    (_words, "flow/1.npy holds <U3"),
    (_too_bright, "image/1.npy holds no image: give whole numbers 0 to 255 (uint8), or values 0 to 1"),
    (_grey_alpha_mask, "is a PNG of mode LA, but labels are grey, palette or RGB without transparency"),
    (_jpeg_named_png, "semseg/1.png is truncated or no PNG"),
    (_label_is_a_folder, "depth/1.png cannot be read"),
    (_link_to_nothing, "image/1.png"),
    (_npz_named_npy, "flow/1.npy is truncated or no npy file"),
    (_no_pixels, "flow/1.npy holds float32 of shape (0, 56, 2)"),
    (lambda data: _truncate(data / "train" / "image" / "1.png"), "image/1.png is damaged or no image (image file is truncated)"),
    (lambda data: _truncate(data / "val" / "semseg" / "7.png"), "semseg/7.png is truncated or no PNG"),
    (lambda data: _truncate(data / "train" / "flow" / "1.npy"), "flow/1.npy is truncated or no npy file"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS)
def test_a_fault_of_the_data_is_one_line(
    fault: Callable[[Path], None], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault(data)
    with pytest.raises(SystemExit) as ended:
        _init(tmp_path / "boxes", "--data", data)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not (tmp_path / "boxes").exists()


def test_few_labels_and_images_without_any_are_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(1, 6):
        (data / "train" / "flow" / f"{k}.npy").unlink()
    for task in ALL:
        (data / "train" / task / f"3.{'png' if task in ('semseg', 'depth') else 'npy'}").unlink(missing_ok=True)
    _init(tmp_path / "boxes", "--data", data)
    said = capsys.readouterr().out
    assert "1 of 6 training images, such as 3, have no label at all" in said
    assert "flow: 1 training label, too few" in said
    assert "semseg: 5" not in said


def test_another_look_at_what_is_gone_is_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "boxes"
    _init(folder, "--data", data)
    kept = (folder / "inventory.json").read_text()

    def said() -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            _init(folder)
        assert ended.value.code == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        return line

    (folder / "inventory.json").write_text(kept[:-20])
    assert "inventory.json" in said()
    (folder / "inventory.json").unlink()
    assert "inventory.json" in said()
    (folder / "inventory.json").write_text(kept)
    data.rename(tmp_path / "elsewhere")
    assert "there is no such folder" in said()
    (folder / "local.yaml").unlink()
    assert "where are the files of 'data'?" in said()


def test_a_name_that_is_taken_or_lies_in_the_data_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    for words, said in (
        ((tmp_path / "there", "--data", data), "exists: take another name"),
        ((data / "inside", "--data", data), "which is never written to"),
        ((tmp_path / "new", "--data", tmp_path / "nowhere"), "is no folder"),
        ((tmp_path / "new", "--data", data, data), "is named twice"),
        ((tmp_path / "new",), "is no project of own images"),
    ):
        with pytest.raises(SystemExit):
            _init(*words)
        assert said in capsys.readouterr().err


def test_labels_that_nothing_reads_are_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(scene(0)["semseg"]).save(data / "train" / "semseg" / "0.jpg")
    store(data / "train" / "depth", "999", scene(0)["depth"])
    store(data / "val" / "image", "Case", scene(55)["image"])
    store(data / "val" / "semseg", "case", scene(55)["semseg"])
    _init(tmp_path / "boxes", "--data", data, "--dry-run")
    said = capsys.readouterr().out
    assert "1 file of ending '.jpg' cannot be labels" in said
    assert "1 labels without an image, such as 999.png" in said
    assert "such as case.png; the image is called Case" in said


def test_ending_and_letters_may_be_any(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for k, name in enumerate(("Grüße 1", "日本", "a b", "x%y", "UPPER", "dots.in.it")):
        Image.fromarray(scene(k)["image"]).save(_made(folder / "image") / f"{name}.JPG")
        store(folder / "semseg", name, scene(k)["semseg"], ".PNG")
    (folder / "train.txt").write_text("# comment\nGrüße 1.JPG\n日本\na b\n\nx%y\n")
    (folder / "val.txt").write_text("UPPER\ndots.in.it\n")
    _init(tmp_path / "named", "--data", folder)
    own = read_own(tmp_path / "named")
    assert own is not None
    ids = own.ids(tmp_path / "named", "train")
    assert len(ids) == 4
    for name in ids:
        assert own.read(tmp_path / "named", "train", name).labels.keys() == {"semseg"}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"train": "0\n1\nnobody\n", "val": "2\n"}, "no image 'nobody'"),
        ({"train": "0\n1\n", "val": "1\n"}, "'1' is in train.txt and in val.txt"),
        ({"train": "0\n0\n", "val": "1\n"}, "names '0' twice"),
        ({"train": "", "val": "1\n"}, "no training image has any label"),
        ({"train": "0\n1\n", "val": ""}, "no test image has any label"),
        ({"train": "../../etc/passwd\n", "val": "1\n"}, "no image '../../etc/passwd'"),
    ],
)
def test_a_fault_of_the_lists_is_one_line(
    lists: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    for k in range(4):
        store(folder / "image", f"{k}", scene(k)["image"])
        store(folder / "semseg", f"{k}", scene(k)["semseg"])
    for split, text in lists.items():
        (folder / f"{split}.txt").write_text(text)
    with pytest.raises(SystemExit):
        _init(tmp_path / "boxes", "--data", folder)
    [line] = capsys.readouterr().err.strip().splitlines()
    assert said in line


def _label(array: np.ndarray) -> Label:
    channels = array.shape[2] if array.ndim == 3 else 1
    whole = array.dtype.kind != "f"
    numbers, counts = np.unique(array, return_counts=True)
    few = whole and channels == 1 and len(numbers) <= 256
    bits = 8 * array.dtype.itemsize if whole else None
    values = array.reshape(-1, channels).astype(np.float32)
    return Label(
        array.shape[:2], channels, whole, bits, dict(zip(numbers.tolist(), counts.tolist(), strict=True)) if few else None, values
    )


@pytest.mark.parametrize(
    ("folder", "array", "kind"),
    [
        ("anything", np.array([[0, 3, 255]], np.uint8), "classes"),
        ("anything", np.array([[0, 255]], np.uint8), "binary"),
        ("edges", np.array([[0, 1]], np.uint8), "boundary"),
        ("boundary", np.array([[0, 255]], np.uint8), "boundary"),
        ("semseg", np.array([[0, 1]], np.uint8), "classes"),
        ("my_depth", np.array([[0, 3]], np.uint8), "depth"),
        ("disparity", np.random.default_rng(0).random((20, 20)), "depth"),
        ("shading", np.random.default_rng(0).random((20, 20)), "regression"),
        ("anything", scene(0)["normals"], "normals"),
        ("anything", np.rint(127.5 * (scene(0)["normals"] + 1)).astype(np.uint8), "normals"),
        ("albedo", np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8), "regression"),
        ("flow", scene(0)["flow"], "regression"),
    ],
)
def test_the_kind_is_guessed_from_what_is_there(folder: str, array: np.ndarray, kind: str) -> None:
    task, _, _ = guess(folder, [_label(array)])
    assert task["kind"] == kind


def test_depth_that_is_not_plausible_is_told_with_its_percentiles() -> None:
    metres_as_kilometres = np.full((20, 20), 0.002)
    _, _, notes = guess("depth", [_label(metres_as_kilometres)])
    assert notes == ["depth: depth of 0.002 (5 %), 0.002 (median), 0.002 m (95 %) is not plausible: is 'scale' right?"]
    _, files, notes = guess("depth", [_label(np.full((20, 20), 1500, np.uint16))])
    assert files["scale"] == 0.001
    assert "taken for millimetres" in notes[0]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(480, 640)] * 3, ((96, 128), "resize")),
        ([(480, 640), (640, 480)], ((96, 96), "pad")),
        ([(40, 56)], ((32, 64), "resize")),
        ([(1024, 2048)], ((64, 160), "resize")),
        ([(10, 10)], ((32, 32), "resize")),
    ],
)
def test_the_canvas_fits_the_images(sizes: list[tuple[int, int]], expected: tuple[tuple[int, int], str]) -> None:
    assert canvas(sizes, pixels=96 * 128) == expected


def test_the_recipe_fits_the_number_of_images_and_the_machine() -> None:
    few, many = (plan([(480, 640)], count, ["depth"], CPU).recipe for count in (6, 6000))
    assert (few["batch"], few["epochs"]) == (3, 60)
    assert (many["batch"], many["epochs"]) == (8, 4)
    assert (few["width"], few["precision"]) == (64, "32-true")
    large = plan([(480, 640)], 795, ["depth"], GPU)
    assert (large.size, large.backbone, large.recipe["epochs"]) == ((288, 384), "resnet18", 200)
    assert plan([(480, 640)], 6, ["depth"], CPU).token_stride == 1
    assert large.token_stride == 4
    assert plan([(480, 640)], 6, ["depth"], CPU._replace(weights=False)).recipe["pretrained"] is False


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("fitt", "pad", "unknown key; did you mean 'fit'?"),
        ("fit", "squeeze", "fit"),
        ("name", "../up", "name"),
        ("size", [96], "size"),
        ("size", [16, 96], "size"),
        ("tasks.semseg.kind", "clases", "kind"),
        ("tasks.semseg.classes", {}, "a task of kind classes lists its classes"),
        ("tasks.depth.classes", {"a": "#000000", "b": "#ffffff"}, "a task of kind classes lists its classes"),
        ("tasks.semseg.classes", {"class_0": "red", "class_7": "#ffffff"}, "class_0"),
        ("tasks.flow.channels", None, "a task of kind regression says its channels"),
        ("tasks.flow.channels", 0, "channels"),
        ("tasks.extra", {"kind": "depth", "title": "Extra"}, "tasks.extra: no collection has labels of it"),
        ("collections.data.tasks.semsegg", {"folder": "semseg"}, "no such task; did you mean 'semseg'?"),
        ("collections.data.tasks.semseg.labels", {0: "class_0", 7: "class_8"}, "no class 'class_8'; did you mean 'class_7'?"),
        ("collections.data.tasks.semseg.ignore", [7], "7 stands in labels and in ignore"),
        ("collections.data.tasks.depth.folder", "../depth", "folder"),
        ("collections.data.tasks.depth.folder", "/etc", "folder"),
        ("collections.data.tasks.depth.scale", 0, "scale is 0"),
        ("collections.data.tasks.depth.scale", float("nan"), "scale"),
        ("collections.data.tasks.depth.range", [5, 1], "range"),
        ("collections.data.tasks.depth.scal", 2.0, "unknown key; did you mean 'scale'?"),
        ("collections.data.splits", "folder", "splits"),
        ("collections.data.splits", {"val": 1.5}, "splits"),
        ("collections", {}, "collections"),
        ("tasks", {}, "tasks"),
    ],
)
def test_a_fault_of_benchmark_yaml_is_one_line_that_names_the_key(
    key: str,
    value: object,
    said: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "boxes"
    _init(folder, "--data", data)
    content = yaml.safe_load((folder / "benchmark.yaml").read_text())
    *parents, last = key.split(".")
    block = content
    for parent in parents:
        block = block[parent]
    block[last] = value
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    capsys.readouterr()
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main(["cells"])
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "benchmark.yaml" in line
    assert said in line


def test_a_folder_of_many_files_is_listed_whole(tmp_path: Path) -> None:
    from dmtl.benchmarks.folder.listing import PHOTOS, files_of

    folder = _made(tmp_path / "image")
    for k in range(20_000):
        os.close(os.open(folder / f"{k}.png", os.O_CREAT | os.O_WRONLY))
    assert len(files_of(folder, PHOTOS)) == 20_000


def test_a_photo_whose_end_is_missing_is_found_without_decoding_it(tmp_path: Path) -> None:
    for k in range(3):
        noise = np.random.default_rng(k).integers(0, 256, (200, 200, 3)).astype(np.uint8)
        store(tmp_path / "image", f"{k}", noise, ".jpg")
        store(tmp_path / "semseg", f"{k}", np.zeros((200, 200), np.uint8))
    _truncate(tmp_path / "image" / "1.jpg", by=5000)
    [broken] = look(tmp_path, splits_of(tmp_path), workers=0).broken
    assert broken.faults == [f"{tmp_path / 'image' / '1.jpg'} is truncated: its end is missing"]


def test_values_of_rare_labels_are_looked_at_and_damage_is_told_wherever_it_is(tmp_path: Path) -> None:
    """Of many images few have a depth; in others the header of a label is damaged, which is all that is read of most."""
    for k in range(450):
        store(tmp_path / "image", f"{k:03}", np.full((4, 4, 3), k % 256, np.uint8))
        store(tmp_path / "height", f"{k:03}", np.full((4, 4), 1000 + k, np.uint16))
    store(tmp_path / "far", "001", np.arange(16, dtype=np.uint16).reshape(4, 4) * 999)
    (tmp_path / "height" / "001.png").write_bytes(b"no picture")
    (tmp_path / "height" / "003.png").write_bytes(b"no picture")
    seen = look(tmp_path, splits_of(tmp_path), workers=0)
    assert seen.of("far")[0].values is not None
    assert len(seen.broken) == 2
    assert all("is truncated or no PNG" in fault for image in seen.broken for fault in image.faults)


def test_stages_of_own_data_watch_its_description_and_its_files(data: Path, tmp_path: Path) -> None:
    _init(tmp_path / "boxes", "--data", data)
    stages = yaml.safe_load((tmp_path / "boxes" / "dvc.yaml").read_text())["stages"]
    download, shards, train = (stages[name]["do"] for name in ("download", "shards", "train"))
    assert {"benchmark.yaml", "inventory.json"} <= set(download["deps"])
    assert "benchmark.yaml" in shards["deps"]
    assert download["params"] == shards["params"] == ["seed"]
    for stage in (download, shards, train):
        for dep in stage["deps"]:
            if "$" not in dep and dep.startswith(".."):
                assert (tmp_path / "boxes" / dep).exists(), dep
    script = train["cmd"].split()[1]
    assert (tmp_path / "boxes" / script).resolve() == ROOT / "stages" / "train.py"
