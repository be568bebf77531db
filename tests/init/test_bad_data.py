"""Faults of the images, labels and lists that `dmtl init` looks at: each is one line, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.own_data import ALL, SIZE, init, scene, store, truncate
from PIL import Image

# one line for each fault: what is done to the data, a part of what is said


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
    (lambda data: truncate(data / "train" / "image" / "1.png"), "image/1.png is damaged or no image (image file is truncated)"),
    (lambda data: truncate(data / "val" / "semseg" / "7.png"), "semseg/7.png is truncated or no PNG"),
    (lambda data: truncate(data / "train" / "flow" / "1.npy"), "flow/1.npy is truncated or no npy file"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS)
def test_a_fault_of_the_data_is_one_line(
    fault: Callable[[Path], None], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault(data)
    with pytest.raises(SystemExit) as ended:
        init(tmp_path / "boxes", "--data", data)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not (tmp_path / "boxes").exists()


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
        init(tmp_path / "boxes", "--data", folder)
    [line] = capsys.readouterr().err.strip().splitlines()
    assert said in line
