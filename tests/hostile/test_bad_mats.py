"""MATLAB files of strangers, each made to hurt."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from helpers.hostile import one_line, with_endless_heap

from dmtl.benchmarks.nyud import mat
from dmtl.benchmarks.shared.readers import load_mat
from dmtl.reading import hdf5


def _mat(variable: str = "LabelMap", value: object = None) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, {variable: np.zeros((4, 4), np.uint8) if value is None else value})
    return file.getvalue()


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def _matrix(of_class: int, dimensions: tuple[int, ...], rest: bytes = b"", name: bytes = b"LabelMap") -> bytes:
    flags = _element(6, struct.pack("<II", of_class, 0))
    sides = _element(5, struct.pack(f"<{len(dimensions)}i", *dimensions))
    return _element(14, flags + sides + _element(1, name) + rest)


MAT_HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)


def _nested(levels: int) -> bytes:
    matrix = _matrix(6, (1, 1), _element(2, b"\x01"))
    for _ in range(levels):
        matrix = _matrix(1, (1, 1), matrix)
    return matrix


MATS: dict[str, bytes] = {
    "empty": b"",
    "a text": b"hello" * 40,
    "of version 7.3": b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(400),
    "cut": _mat()[:-8],
    "of another variable": _mat("other"),
    "of 1e9 cells": MAT_HEAD + _matrix(1, (10**9, 1)),
    "of 1e9 structs": MAT_HEAD + _matrix(2, (10**9, 1), _element(5, struct.pack("<i", 8)) + _element(1, b"a".ljust(8, b"\0"))),
    "of 1e18 numbers": MAT_HEAD + _matrix(9, (10**9, 10**9), _element(2, b"\x01")),
    "of -1 numbers": MAT_HEAD + _matrix(9, (-1, 4), _element(2, b"\x01")),
    "of 40 dimensions": MAT_HEAD + _matrix(9, (1,) * 40, _element(2, b"\x01")),
    "of cells of cells": MAT_HEAD + _nested(300),
    "of a function": MAT_HEAD + _matrix(16, (1, 1)),
    "of an object": MAT_HEAD + _matrix(3, (1, 1)),
    "an element without end": MAT_HEAD + struct.pack("<II", 14, 2**31) + bytes(64),
    "that unpacks to 512 MiB": MAT_HEAD + _element(15, zlib.compress(bytes(1 << 28) * 2, 1)),
    "that unpacks to nothing": MAT_HEAD + _element(15, zlib.compress(b"")),
    "packed and damaged": MAT_HEAD + _element(15, b"\x78\x9c" + b"\xff" * 40),
    "numbers of no type": MAT_HEAD + _matrix(6, (1, 1), struct.pack("<I", 4 << 16 | 0xA810) + b"head"),
    "numbers of a type that holds none": MAT_HEAD + _matrix(6, (1, 1), _element(8, bytes(8))),
    "numbers that are a matrix": MAT_HEAD + _matrix(6, (1, 1), _element(14, bytes(8))),
    "of class 0": MAT_HEAD + _matrix(0, (1, 1), _element(2, b"\x01")),
    "without a class": MAT_HEAD + _element(14, _element(6, b"")),
}


@pytest.mark.parametrize("content", MATS.values(), ids=MATS)
def test_mat(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mat").write_bytes(content)
    assert "x.mat" in one_line(lambda: load_mat(tmp_path / "x.mat", "LabelMap"))


def test_good_mat_files_are_read(tmp_path: Path) -> None:
    part = np.array([(np.array(["head"]), np.ones((2, 2)))], dtype=[("part_name", "O"), ("mask", "O")])
    for value in (
        np.eye(4),
        np.arange(4, dtype=np.uint8),
        part,
        np.array([[part], [np.eye(2)]], object),
        "text",
        3.0,
        np.zeros((0, 0)),
    ):
        (tmp_path / "x.mat").write_bytes(_mat("x", value))
        read = load_mat(tmp_path / "x.mat", "x")
        scipy.io.savemat(tmp_path / "y.mat", {"x": value}, do_compression=True)
        assert read.shape == load_mat(tmp_path / "y.mat", "x").shape


def _frames(change: Callable[[h5py.File, Path], object]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with h5py.File(folder / mat.LABELED, "w") as file:
            for name, (shape, types) in mat.FRAMES.items():
                file.create_dataset(name, (1, *shape), types[-1], chunks=(1, *shape))
            change(file, folder)

    return make


def _replaced(file: h5py.File, name: str, *arguments: object, **options: object) -> None:
    del file[name]
    file.create_dataset(name, *arguments, **options)


LABELED: dict[str, Callable[[Path], None]] = {
    "external link": _frames(lambda f, p: f.__delitem__("images") or f.__setitem__("images", h5py.ExternalLink("x.h5", "x"))),
    "soft link": _frames(lambda f, p: f.move("images", "x") or f.__setitem__("images", h5py.SoftLink("/x"))),
    "kept elsewhere": _frames(
        lambda f, p: _replaced(f, "depths", (1, 640, 480), np.float32, external=[(str(p / "x.bin").encode(), 0, 640 * 480 * 4)])
    ),
    "huge": _frames(lambda f, p: _replaced(f, "images", (1, 3, 1 << 20, 1 << 20), np.uint8, chunks=(1, 1, 1024, 1024))),
    "huge chunks": _frames(lambda f, p: _replaced(f, "images", (1449, 3, 640, 480), np.uint8, chunks=(1449, 3, 640, 480))),
    "floats": _frames(lambda f, p: _replaced(f, "labels", (1, 640, 480), np.float32)),
    "images of 16 bits": _frames(lambda f, p: _replaced(f, "images", (1, 3, 640, 480), np.uint16)),
    "no frames": _frames(lambda f, p: _replaced(f, "images", (0, 3, 640, 480), np.uint8)),
    "texts": _frames(lambda f, p: _replaced(f, "images", (1,), h5py.string_dtype())),
    "no HDF5": lambda folder: (folder / mat.LABELED).write_bytes(b"MATLAB") and None,
}


@pytest.mark.parametrize("make", LABELED.values(), ids=LABELED)
def test_labeled_mat(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path)
    assert mat.LABELED in one_line(lambda: mat.read(tmp_path, "nyu0001", (32, 48)))


def test_a_labeled_mat_that_keeps_the_library_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    _frames(lambda file, folder: None)(tmp_path)
    with_endless_heap(mat.LABELED)(tmp_path)
    assert "does not come to an end" in one_line(lambda: mat.read(tmp_path, "nyu0001", (32, 48)))
