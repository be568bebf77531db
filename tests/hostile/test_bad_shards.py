"""Shards that nobody here wrote: each ends in one line where it is opened or where a damaged label is read."""

import os
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.hostile import CELL, MODEL, Edit, copied, refused, with_bytes, with_data, with_endless_heap, with_h5

from dmtl.data.shards import Shard
from dmtl.reading import hdf5

VAL, TRAIN = "data/shards/demo/pascal/val.h5", "data/shards/demo/pascal/train.h5"
EVALUATE = ("evaluate", MODEL, "--benchmark", "pascal")


def _set(name: str, index: object, value: object) -> Edit:
    def change(array: np.ndarray) -> np.ndarray:
        array[index] = value
        return array

    return with_data(VAL, name, change)


def _as(name: str, dtype: object) -> Edit:
    return with_data(VAL, name, lambda array: array.astype(dtype))


def _external_link(name: str) -> Edit:
    def edit(folder: Path) -> None:
        with h5py.File(folder / VAL, "r+") as file, h5py.File(folder / "other.h5", "w") as other:
            file.copy(name, other, "there")
            del file[name]
            file[name] = h5py.ExternalLink(str(folder / "other.h5"), "there")

    return edit


def _virtual(name: str) -> Edit:
    def edit(folder: Path) -> None:
        with h5py.File(folder / VAL, "r+") as file, h5py.File(folder / "other.h5", "w") as other:
            file.copy(name, other, name)
            layout = h5py.VirtualLayout(file[name].shape, file[name].dtype)
            layout[...] = h5py.VirtualSource(folder / "other.h5", name, file[name].shape)
            del file[name]
            file.create_virtual_dataset(name, layout)

    return edit


def _kept_elsewhere(name: str) -> Edit:
    def edit(folder: Path) -> None:
        with h5py.File(folder / VAL, "r+") as file:
            array = file[name][()]
            (folder / "other.bin").write_bytes(array.tobytes())
            del file[name]
            place = [(str(folder / "other.bin").encode(), 0, array.nbytes)]
            file.create_dataset(name, array.shape, array.dtype, external=place)

    return edit


def _huge(file: h5py.File) -> None:
    del file["image"]
    file.create_dataset("image", (3, 1 << 20, 1 << 20, 3), np.uint8, chunks=(1, 1 << 10, 1 << 10, 3))


def _large_chunks(file: h5py.File) -> None:
    del file["semseg"]
    file.create_dataset("semseg", (3, 64, 64), np.uint8, chunks=(3, 64, 64), maxshape=(None, None, None))
    del file["boundary"]
    file.create_dataset("boundary", (3, 64, 64), np.uint8, chunks=(1 << 17, 64, 64), maxshape=(None, None, None))


def _bomb(file: h5py.File) -> None:
    """A sample that unpacks to more than its shape."""
    import zlib

    file["image"].id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(1 << 28), 1))


def _wrong_filter(file: h5py.File) -> None:
    array = file["semseg"][()]
    del file["semseg"]
    file.create_dataset("semseg", data=array, chunks=(1, 64, 64), compression="lzf")


def _attribute(name: str, value: object) -> Edit:
    return with_h5(VAL, lambda file: file.attrs.__setitem__(name, value))


def _delete(name: str) -> Edit:
    return with_h5(VAL, lambda file: file.__delitem__(name))


NAMES = ("id", "image", "content_size", "original_size", "semseg", "human_parts", "saliency", "normals", "boundary")
EVALUATED: dict[str, Edit] = {
    **{f"no {name}": _delete(name) for name in (*NAMES, "label_map", "boundary_listed")},
    **{f"external link {name}": _external_link(name) for name in ("id", "image", "semseg", "content_size", "label_map")},
    **{f"virtual {name}": _virtual(name) for name in ("image", "normals", "original_size")},
    **{f"kept elsewhere {name}": _kept_elsewhere(name) for name in ("image", "semseg", "id")},
    **{f"float {name}": _as(name, np.float32) for name in ("image", "semseg", "saliency", "content_size", "label_map")},
    **{f"one image less in {name}": with_data(VAL, name, lambda a: a[:-1]) for name in NAMES},
    **{f"content_size {value}": _set("content_size", (0, 0), value) for value in (0, -5, 65, 2**31 - 1)},
    **{f"original_size {value}": _set("original_size", (1, 1), value) for value in (0, -1, 2**31 - 1)},
    "class 200": _set("semseg", (0, 3, 3), 200),
    "part 7 of 7": _set("human_parts", (0, 3, 3), 7),
    "saliency 2": _set("saliency", (1, 0, 0), 2),
    "boundary 7": _set("boundary", (1, 0, 0), 7),
    "normals as floats with NaN": with_data(VAL, "normals", lambda a: np.full((3, 64, 64, 3), np.nan, np.float16)),
    "normals channels last in 8 bits": with_data(VAL, "normals", lambda a: a.transpose(0, 2, 3, 1)),
    "normals of 64 bits": with_data(VAL, "normals", lambda a: a.astype(np.int64)),
    "an id twice": with_data(VAL, "id", lambda a: np.array([a[0], *a[:-1]])),
    "an empty id": with_data(VAL, "id", lambda a: np.array([b"", *a[1:]])),
    "ids of numbers": with_data(VAL, "id", lambda a: np.arange(3)),
    "an id that is no UTF-8": with_data(VAL, "id", lambda a: np.array([b"\xff\xfe", *a[1:]])),
    "more ids than images": with_data(VAL, "id", lambda a: np.array([*a, b"further"])),
    "no images": with_h5(
        VAL, lambda file: [file.__delitem__(n) or file.create_dataset(n, (0, 1), "u1") for n in ("id", "image")]
    ),
    "an image as a group": with_h5(VAL, lambda file: file.__delitem__("image") or file.create_group("image")),
    "a soft link": with_h5(VAL, lambda file: file.move("image", "x") or file.__setitem__("image", h5py.SoftLink("/x"))),
    "a huge canvas": with_h5(VAL, _huge),
    "huge chunks": with_h5(VAL, _large_chunks),
    "a sample that unpacks to more": with_h5(VAL, _bomb),
    "another filter": with_h5(VAL, _wrong_filter),
    "outputs no JSON": _attribute("outputs", "{"),
    "outputs a list": _attribute("outputs", "[1]"),
    "outputs empty": _attribute("outputs", "{}"),
    "outputs with 0 channels": _attribute("outputs", '{"semseg": 0}'),
    "outputs with a truth": _attribute("outputs", '{"semseg": true}'),
    "outputs with a path": _attribute("outputs", '{"../semseg": 2}'),
    "outputs of an unknown task": _attribute("outputs", '{"semsek": 21}'),
    "outputs a number": _attribute("outputs", 3),
    "outputs deep": _attribute("outputs", "[" * 50000),
    "kinds of no kind": _attribute("kinds", '{"semseg": {"name": "clases"}}'),
    "kinds a module": _attribute("kinds", '{"semseg": {"name": "shared.kind"}}'),
    "kinds with options": _attribute("kinds", '{"semseg": {"name": "classes", "x": 1}}'),
    "boundary_listed of numbers": with_data(VAL, "boundary_listed", lambda a: a.astype(np.int8)),
    "labelled of a wrong shape": with_h5(VAL, lambda file: file.create_dataset("labelled", data=np.ones((3, 3), np.uint8))),
    "labelled 2": with_h5(VAL, lambda file: file.create_dataset("labelled", data=np.full((3, 5), 2, np.uint8))),
    "no HDF5": with_bytes(VAL, b"PK\x03\x04"),
    "empty": with_bytes(VAL, b""),
    "cut": with_bytes(VAL, lambda content: content[: len(content) // 2]),
    "a page of the web": with_bytes(VAL, b"<html>Not found</html>"),
    "missing": lambda folder: (folder / VAL).unlink(),
    "a folder": lambda folder: (folder / VAL).unlink() or (folder / VAL).mkdir(),
}


@pytest.mark.parametrize("edit", EVALUATED.values(), ids=EVALUATED)
def test_evaluated(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    assert "val.h5" in refused(folder, *EVALUATE)


MASK = "label_mask/onelabel"
TRAINED: dict[str, Edit] = {
    "a mask (3, 3)": with_data(TRAIN, MASK, lambda a: a[:3, :3]),
    "a mask of floats": with_data(TRAIN, MASK, lambda a: a.astype(np.float32)),
    "a mask with 2": with_data(TRAIN, MASK, lambda a: a + 1),
    "a mask of nothing": with_data(TRAIN, MASK, lambda a: a * 0),
    "no mask": with_h5(TRAIN, lambda file: file.__delitem__(MASK)),
    "the masks elsewhere": with_h5(
        TRAIN, lambda f: f.__delitem__("label_mask") or f.__setitem__("label_mask", h5py.ExternalLink("other.h5", "x"))
    ),
    "the masks as data": with_h5(
        TRAIN, lambda f: f.__delitem__("label_mask") or f.create_dataset("label_mask", data=np.ones(3, np.uint8))
    ),
    "class 200": with_data(TRAIN, "semseg", lambda a: np.full_like(a, 200)),
    "described no JSON": with_h5(TRAIN, lambda file: file.attrs.__setitem__("described", "{")),
    "described a list": with_h5(TRAIN, lambda file: file.attrs.__setitem__("described", "[]")),
    "an attribute of numbers": with_h5(TRAIN, lambda file: file.attrs.__setitem__("source", np.arange(4))),
    "fewer tasks": with_h5(TRAIN, lambda file: file.attrs.__setitem__("outputs", '{"semseg": 21}')),
}


@pytest.mark.parametrize("edit", TRAINED.values(), ids=TRAINED)
def test_trained(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/train.py", CELL)


@pytest.mark.parametrize(("name", "command"), [(VAL, EVALUATE), (TRAIN, ("stages/train.py", CELL))], ids=("val", "train"))
def test_one_that_keeps_the_library_busy(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    folder = copied(whole, tmp_path / "project")
    with_endless_heap(name)(folder)
    line = refused(folder, *command)
    assert f"{Path(name).name} is damaged or of another version (the HDF5 library does not come to an end with it)" in line


@pytest.mark.parametrize(
    ("by", "said"),
    [(signal.SIGSEGV, "(the HDF5 library crashes at it)"), (signal.SIGKILL, "val.h5: the process that looks at it")],
)
def test_one_that_crashes_the_library(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: signal.Signals, said: str
) -> None:
    """No such file is known, so the process that walks through it is given a fault."""
    monkeypatch.setattr(hdf5, "_walk", lambda group, depth: os.kill(os.getpid(), by))
    folder = copied(whole, tmp_path / "project")
    assert said in refused(folder, *EVALUATE)


def test_each_is_walked_through_once(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[int] = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: children.append(fork()) or children[-1])
    path = copied(whole, tmp_path / "project") / VAL
    for _ in range(2):
        shard = Shard(path)
        shard.image(0)
    assert len(children) == 1
    path.write_bytes(path.read_bytes())  # which may be another file now
    Shard(path)
    assert len(children) == 2
