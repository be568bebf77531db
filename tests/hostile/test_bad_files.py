"""Raw files, archives, mapping files and pictures of strangers, each made to hurt."""

import gzip
import io
import os
import resource
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from helpers.hostile import BYTES, MODEL, SECONDS, Edit, copied, refused, with_bytes, with_endless_heap, with_value, without
from PIL import Image

from dmtl.benchmarks.folder.labels import read_photo, stored_label
from dmtl.benchmarks.nyud import mat
from dmtl.benchmarks.shared.readers import load_mat, load_npy, load_pixels
from dmtl.errors import UserError
from dmtl.prepare import archives
from dmtl.prepare.archives import unpack
from dmtl.prepare.mapping_files import read_mapping
from dmtl.reading import hdf5

Content = bytes | Callable[[], bytes]  # made where it is used if that takes a while
MANIFEST = "data/raw/demo/pascal.json"


def _one_line(call: Callable[[], object]) -> str:
    """What a reader says, in one line, in time and within memory."""
    held, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(UserError) as caught:
        call()
    assert time.monotonic() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) * 1024 < BYTES
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1000
    return text


def _npy(header: str, values: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + values


def _header(shape: object, kind: str = "'<f4'", order: object = False) -> str:
    return f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}"


NPYS: dict[str, bytes] = {
    "empty": b"",
    "no npy": b"hello",
    "a zip": b"PK\x03\x04" + bytes(100),
    "cut": _npy(_header((4, 4)), bytes(10)),
    "longer": _npy(_header((4, 4)), bytes(100)),
    "of 1e12 values": _npy(_header((10**6, 10**6))),
    "of 1e30 values": _npy(_header((10**15, 10**15))),
    "of -1 values": _npy(_header((-1, 4)), bytes(64)),
    "of a shape of text": _npy(_header("'4'"), bytes(64)),
    "of objects": _npy(_header((4, 4), "'|O'"), b"\x80\x04."),
    "of fields": _npy(_header((4,), "[('a', '<f4')]"), bytes(16)),
    "of nothing": _npy(_header((4, 4), "'|V0'")),
    "of texts": _npy(_header((4, 4), "'<U4'"), bytes(256)),
    "of a type that is none": _npy(_header((4, 4), "'<x9'"), bytes(64)),
    "a header that calls": _npy("__import__('os').system('id')"),
    "a header deep": _npy("(" * 5000 + ")" * 5000),
    "a header long": _npy(" " * 60_000),
    "version 9": _npy(_header((4, 4)), bytes(64), b"\x09\x00"),
    "another shape": _npy(_header((4, 5)), bytes(80)),
    "NaN": _npy(_header((4, 4)), np.full(16, np.nan, "<f4").tobytes()),
}


@pytest.mark.parametrize("content", NPYS.values(), ids=NPYS)
def test_npy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    assert "x.npy" in _one_line(lambda: load_npy(tmp_path / "x.npy", (4, 4)))


def _png(width: int, height: int, data: bytes = b"", extra: bytes = b"") -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    content = b"Comment\x00\x00" + zlib.compress(bytes(200 << 20), 9)
    return struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))


def _made(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content()


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n(x) run\nshowpage\n"
PICTURES: dict[str, Content] = {
    "empty": b"",
    "a text": b"hello",
    "an EPS": EPS,
    "an EPS for DOS": b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 32, len(EPS), 0, 0, 0, 0) + bytes(4) + EPS,
    "a PDF": b"%PDF-1.4\n",
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a page of the web": b"<html>404</html>",
    "of 1e9 pixels": _png(40_000, 40_000),
    "of 1e18 pixels": _png(2**30, 2**30),
    "of 9000 x 9000": _png(9_000, 9_000),
    "of no pixels": _png(0, 16),
    "cut": _png(64, 64, bytes(100))[:-20],
    "without its pixels": _png(64, 64, b"", b"\xff" * 40),
    "a long comment": lambda: _png(64, 64, b"", _text_bomb()),
    "a GIF of a huge screen": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x3b",
    "a PPM of 1e9 pixels": b"P6 40000 40000 255\n",
    "a PPM of -1": b"P6 -1 4 255\n",
    "a BMP of 2e9 pixels": b"BM" + bytes(8) + struct.pack("<II", 54, 40) + struct.pack("<iiHH", 50000, 50000, 1, 24) + bytes(24),
    "a TIFF without end": b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", 65535) + bytes(40),
    "a JPEG of its head": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(20),
}


@pytest.mark.parametrize("content", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_pictures(tmp_path: Path, content: Content, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    path.write_bytes(_made(content))
    assert f"x.{ending}" in _one_line(lambda: load_pixels(path, ("RGB",)))
    assert f"x.{ending}" in _one_line(lambda: read_photo(path))
    assert f"x.{ending}" in _one_line(lambda: stored_label(path))


PREDICTED = ("an EPS", "of 1e9 pixels", "of 9000 x 9000", "a GIF of a huge screen", "cut", "empty")


@pytest.mark.parametrize("name", PREDICTED)
def test_predict(whole: Path, tmp_path: Path, name: str) -> None:
    folder = copied(whole, tmp_path / "project")
    (folder / "x.png").write_bytes(_made(PICTURES[name]))
    assert "x.png" in refused(folder, "predict", "x.png", "--model", MODEL, "--out", "out", "--processes", "0")


@pytest.mark.parametrize("name", PREDICTED)
@pytest.mark.parametrize("bad", ["soft", "labels"])
def test_odsf(tmp_path: Path, name: str, bad: str) -> None:
    for folder in ("soft", "labels"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / folder / "x.png")
    (tmp_path / bad / "x.png").write_bytes(_made(PICTURES[name]))
    assert f"{bad}/x.png" in refused(tmp_path, "odsf", "soft", "labels")


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
    assert "x.mat" in _one_line(lambda: load_mat(tmp_path / "x.mat", "LabelMap"))


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
    assert mat.LABELED in _one_line(lambda: mat.read(tmp_path, "nyu0001", (32, 48)))


def test_a_labeled_mat_that_keeps_the_library_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    _frames(lambda file, folder: None)(tmp_path)
    with_endless_heap(mat.LABELED)(tmp_path)
    assert "does not come to an end" in _one_line(lambda: mat.read(tmp_path, "nyu0001", (32, 48)))


def _tar(*members: tarfile.TarInfo, packed: bool = False) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz" if packed else "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(min(member.size, 1 << 16))))
    return file.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def _claiming(kind: bytes, size: int) -> bytes:
    """A tar whose first header says that so much follows it."""
    return _member("x", kind, size).tobuf(tarfile.GNU_FORMAT) + bytes(2048)


def _zip(*names: str, content: bytes = b"", mode: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            packed.writestr(info, content)
    return file.getvalue()


def _lying_zip() -> bytes:
    """A zip whose list says 1 byte of a member that unpacks to 64 MiB."""
    content = bytearray(_zip("x", content=bytes(64 << 20)))
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 1)
    return bytes(content)


ARCHIVES: dict[str, Content] = {
    "empty": b"",
    "a text": b"hello",
    "tar upwards": _tar(_member("../x")),
    "tar absolute": _tar(_member("/tmp/x")),
    "tar of a link": _tar(_member("x", tarfile.SYMTYPE, link="/etc/passwd")),
    "tar of a hard link": _tar(_member("x", tarfile.LNKTYPE, link="/etc/passwd")),
    "tar of a device": _tar(_member("x", tarfile.CHRTYPE)),
    "tar of a pipe": _tar(_member("x", tarfile.FIFOTYPE)),
    "tar of a file twice": _tar(_member("x"), _member("x")),
    "tar cut": _tar(_member("x", size=4096))[:1024],
    "tar of 1 TiB": _claiming(tarfile.REGTYPE, 1 << 40),
    "tar of a name of 4 GiB": _claiming(tarfile.GNUTYPE_LONGNAME, 4 << 30),
    "tar of attributes of 4 GiB": _claiming(tarfile.XHDTYPE, 4 << 30),
    "tar of common attributes of 4 GiB": _claiming(tarfile.XGLTYPE, 4 << 30),
    "tar with holes": _claiming(tarfile.GNUTYPE_SPARSE, 512),
    "tar packed of a name of 1 GiB": lambda: gzip.compress(_claiming(tarfile.GNUTYPE_LONGNAME, 1 << 30) + bytes(64 << 20)),
    "gzip damaged": gzip.compress(_tar(_member("x")))[:-6],
    "zip upwards": _zip("../x"),
    "zip absolute": _zip("/tmp/x"),
    "zip of a drive": _zip("c:x"),
    "zip of a link": _zip("x", content=b"/etc/passwd", mode=0o120777),
    "zip of a file twice": _zip("x", "./x"),
    "zip of a long name": _zip("x" * 20_000),
    "zip that lies": _lying_zip,
    "zip cut": _zip("x", content=bytes(1000))[:-30],
}


@pytest.mark.parametrize("content", ARCHIVES.values(), ids=ARCHIVES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_archives(tmp_path: Path, content: Content) -> None:
    (tmp_path / "x.tar").write_bytes(_made(content))
    _one_line(lambda: unpack([tmp_path / "x.tar"], tmp_path / "tree"))
    assert {path.name for path in tmp_path.iterdir()} <= {"x.tar", ".tree.lock"}


@pytest.mark.parametrize("content", [_tar(*(_member(f"{k}") for k in range(40))), _zip(*(f"{k}" for k in range(40)))])
def test_archives_of_many_members(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 30)
    (tmp_path / "x.tar").write_bytes(content)
    _one_line(lambda: unpack([tmp_path / "x.tar"], tmp_path / "tree"))


MAPPINGS: dict[str, bytes] = {
    "empty": b"",
    "a text": b"hello",
    "a pickle that calls": b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.",
    "an npy of 1e12 objects": _npy(_header((10**6, 10**6), "'|O'")),
    "an npy of numbers": _npy(_header((4, 4)), bytes(64)),
    "a zip without a pickle": _zip("x/data/0"),
    "a zip upwards": _zip("../x"),
    "a zip that unpacks to 100 MiB": _zip("x/data.pkl", content=bytes(100 << 20)),
    "a row of letters": b"1\tabc\n",
    "a row of 2": b"1\t012\n",
    "an id twice": b"1\t100\n1\t010\n",
    "a row of nothing": b"1\t000\n",
    "a row of 999 bits": b"1\t" + b"1" * 999 + b"\n",
    "without an end": b"1\t100",
}


@pytest.mark.parametrize("content", MAPPINGS.values(), ids=MAPPINGS)
def test_mappings(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    assert "x.pth" in _one_line(lambda: read_mapping(tmp_path / "x.pth"))


@pytest.mark.parametrize("command", [("mapping", "x.pth"), ("import-official", "x.pth", "--out", "out")], ids=lambda c: c[0])
def test_a_pipe_is_not_waited_for(tmp_path: Path, command: tuple[str, ...]) -> None:
    os.mkfifo(tmp_path / "x.pth")
    assert "is no file" in refused(tmp_path, *command)


VIDEOS: dict[str, bytes] = {
    "empty": b"",
    "a list of another file": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "a list of files": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "an address": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "a picture": _png(64, 64, bytes(64 * 193)),
}


@pytest.mark.parametrize("content", VIDEOS.values(), ids=VIDEOS)
def test_videos(whole: Path, tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("av", reason="the extra video (PyAV) is not installed")
    folder = copied(whole, tmp_path / "project")
    (folder / "x.mp4").write_bytes(content)
    assert "x.mp4" in refused(folder, "predict", "x.mp4", "--model", MODEL, "--out", "out", "--processes", "0")


MANIFESTS: dict[str, Edit] = {
    **{f"no {key}": without(MANIFEST, key) for key in ("source", "splits", "mappings", "files", "splits.val")},
    "missing": lambda folder: (folder / MANIFEST).unlink(),
    "empty": with_bytes(MANIFEST, b""),
    "a list": with_bytes(MANIFEST, b"[]"),
    "files a list": with_value(MANIFEST, "files", []),
    "a file upwards": with_value(MANIFEST, "files", {"../x": {"bytes": 1, "sha256": "0" * 64}}),
    "a file absolute": with_value(MANIFEST, "files", {"/etc/passwd": {"bytes": 1, "sha256": "0" * 64}}),
    "a size below 0": with_value(MANIFEST, "files", {"x": {"bytes": -1, "sha256": "0" * 64}}),
    "a hash of text": with_value(MANIFEST, "files", {"x": {"bytes": 1, "sha256": "x"}}),
    "no files": with_value(MANIFEST, "files", {}),
    "an image twice": with_value(MANIFEST, "splits.val", ["a", "a"]),
    "a third split": with_value(MANIFEST, "splits.test", []),
    "a setting of none": with_value(MANIFEST, "mappings.halflabel", "0" * 64),
    "a mask of another hash": with_value(MANIFEST, "mappings.onelabel", "0" * 64),
    "a further key": with_value(MANIFEST, "x", 1),
}


@pytest.mark.parametrize("edit", MANIFESTS.values(), ids=MANIFESTS)
def test_manifests(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/shards.py", "pascal")
