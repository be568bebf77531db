"""Archives of strangers, each made to hurt."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import pytest
from helpers.hostile import (
    Content,
    made,
    one_line,
    zip_of,
)

from dmtl.prepare import archives
from dmtl.prepare.archives import unpack


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


def _lying_zip() -> bytes:
    """A zip whose list says 1 byte of a member that unpacks to 64 MiB."""
    content = bytearray(zip_of("x", content=bytes(64 << 20)))
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
    "zip upwards": zip_of("../x"),
    "zip absolute": zip_of("/tmp/x"),
    "zip of a drive": zip_of("c:x"),
    "zip of a link": zip_of("x", content=b"/etc/passwd", mode=0o120777),
    "zip of a file twice": zip_of("x", "./x"),
    "zip of a long name": zip_of("x" * 20_000),
    "zip that lies": _lying_zip,
    "zip cut": zip_of("x", content=bytes(1000))[:-30],
}


@pytest.mark.parametrize("content", ARCHIVES.values(), ids=ARCHIVES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_archives(tmp_path: Path, content: Content) -> None:
    (tmp_path / "x.tar").write_bytes(made(content))
    one_line(lambda: unpack([tmp_path / "x.tar"], tmp_path / "tree"))
    assert {path.name for path in tmp_path.iterdir()} <= {"x.tar", ".tree.lock"}


@pytest.mark.parametrize("content", [_tar(*(_member(f"{k}") for k in range(40))), zip_of(*(f"{k}" for k in range(40)))])
def test_archives_of_many_members(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 30)
    (tmp_path / "x.tar").write_bytes(content)
    one_line(lambda: unpack([tmp_path / "x.tar"], tmp_path / "tree"))
