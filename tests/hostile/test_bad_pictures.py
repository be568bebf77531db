"""Arrays, pictures and videos of strangers, each made to hurt."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.hostile import MODEL, Content, copied, made, npy, npy_header, one_line, refused
from PIL import Image

from dmtl.benchmarks.folder.labels import read_photo, stored_label
from dmtl.benchmarks.shared.readers import load_npy, load_pixels

NPYS: dict[str, bytes] = {
    "empty": b"",
    "no npy": b"hello",
    "a zip": b"PK\x03\x04" + bytes(100),
    "cut": npy(npy_header((4, 4)), bytes(10)),
    "longer": npy(npy_header((4, 4)), bytes(100)),
    "of 1e12 values": npy(npy_header((10**6, 10**6))),
    "of 1e30 values": npy(npy_header((10**15, 10**15))),
    "of -1 values": npy(npy_header((-1, 4)), bytes(64)),
    "of a shape of text": npy(npy_header("'4'"), bytes(64)),
    "of objects": npy(npy_header((4, 4), "'|O'"), b"\x80\x04."),
    "of fields": npy(npy_header((4,), "[('a', '<f4')]"), bytes(16)),
    "of nothing": npy(npy_header((4, 4), "'|V0'")),
    "of texts": npy(npy_header((4, 4), "'<U4'"), bytes(256)),
    "of a type that is none": npy(npy_header((4, 4), "'<x9'"), bytes(64)),
    "a header that calls": npy("__import__('os').system('id')"),
    "a header deep": npy("(" * 5000 + ")" * 5000),
    "a header long": npy(" " * 60_000),
    "version 9": npy(npy_header((4, 4)), bytes(64), b"\x09\x00"),
    "another shape": npy(npy_header((4, 5)), bytes(80)),
    "NaN": npy(npy_header((4, 4)), np.full(16, np.nan, "<f4").tobytes()),
}


@pytest.mark.parametrize("content", NPYS.values(), ids=NPYS)
def test_npy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    assert "x.npy" in one_line(lambda: load_npy(tmp_path / "x.npy", (4, 4)))


def _png(width: int, height: int, data: bytes = b"", extra: bytes = b"") -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    content = b"Comment\x00\x00" + zlib.compress(bytes(200 << 20), 9)
    return struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))


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
    path.write_bytes(made(content))
    assert f"x.{ending}" in one_line(lambda: load_pixels(path, ("RGB",)))
    assert f"x.{ending}" in one_line(lambda: read_photo(path))
    assert f"x.{ending}" in one_line(lambda: stored_label(path))


PREDICTED = ("an EPS", "of 1e9 pixels", "of 9000 x 9000", "a GIF of a huge screen", "cut", "empty")


@pytest.mark.parametrize("name", PREDICTED)
def test_predict(whole: Path, tmp_path: Path, name: str) -> None:
    folder = copied(whole, tmp_path / "project")
    (folder / "x.png").write_bytes(made(PICTURES[name]))
    assert "x.png" in refused(folder, "predict", "x.png", "--model", MODEL, "--out", "out", "--processes", "0")


@pytest.mark.parametrize("name", PREDICTED)
@pytest.mark.parametrize("bad", ["soft", "labels"])
def test_odsf(tmp_path: Path, name: str, bad: str) -> None:
    for folder in ("soft", "labels"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / folder / "x.png")
    (tmp_path / bad / "x.png").write_bytes(made(PICTURES[name]))
    assert f"{bad}/x.png" in refused(tmp_path, "odsf", "soft", "labels")


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
