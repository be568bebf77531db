"""Unpack archives of strangers: plain files and folders inside one new folder, which is there whole or not at all."""

import gzip
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from filelock import FileLock
from tqdm import tqdm

from dmtl.errors import UserError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
LARGEST_FILE = 16 << 30  # bytes; three times the largest published one
MOST_BYTES = 128 << 30
MOST_MEMBERS = 1_000_000  # files and folders; four times those of the largest published one
LONGEST_NAME = 1000  # letters of a member's path
LARGEST_HEADER = 1 << 20  # bytes that a tar says of one member beside it: a name, some extended attributes
LARGEST_DIRECTORY = 128 << 20  # bytes of a zip's list of members, which is read whole
_DAMAGED = (
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    RuntimeError,
    OverflowError,
    NotImplementedError,
)
_Member = tuple[str, int, IO[bytes]]


def unpack(archives: Sequence[Path], folder: Path) -> Path:
    """The archives' files in `folder`; if that is there already, it stays as it is.

    Raises:
        UserError: an archive is missing, truncated or damaged; names an absolute path, one with `..`, a device, a link or a file
            twice; holds too much; or the disk is full. Then nothing is left behind.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):  # a second process waits, then finds the folder
            if not folder.is_dir():
                temporary.mkdir()
                for archive in archives:
                    _unpack_one(archive, temporary)
                temporary.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} could not be written ({error.strerror or error}): free the disk or mend the folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unpack_one(archive: Path, folder: Path) -> None:
    if not archive.is_file():
        raise UserError(f"{archive} is missing: download it again")
    names: set[PurePosixPath] = set()
    left = min(MOST_BYTES, shutil.disk_usage(folder).free)
    try:
        for name, size, source in tqdm(_members(archive), f"unpacking {archive.name}", unit="file", disable=None):
            path = _safe(archive, name)
            if path in names:
                raise UserError(f"{archive} holds {name!r} twice: it is not as published, download it again")
            if size > min(LARGEST_FILE, left):
                raise UserError(f"{archive}: {name!r} is of {size} bytes, more than fits or can be right: free the disk")
            names.add(path)
            left -= size
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            if target.stat().st_size != size:
                raise EOFError(f"{name!r} ends early")
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{archive} is truncated or damaged ({reason}): delete it and download it again") from None


def _members(archive: Path) -> Iterator[_Member]:
    """Name, declared size and content of each file; whatever else there may be is an error, but for folders."""
    yield from _of_zip(archive) if zipfile.is_zipfile(archive) else _of_tar(archive)


class _Tar(tarfile.TarInfo):
    """A member whose headers are bounded: tarfile reads a long name, or extended attributes, into memory as long as they say."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        extended = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if self.type in extended and self.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a file with holes")
        return super()._proc_member(tar)  # type: ignore[misc]


def _of_tar(archive: Path) -> Iterator[_Member]:
    with _decompressed(archive) as content, tarfile.open(fileobj=content, mode="r|", tarinfo=_Tar) as tar:
        for count, member in enumerate(tar, start=1):
            _require_few(count)
            tar.members.clear()  # type: ignore[attr-defined]  # which are kept for nobody
            if member.isdir():
                _safe(archive, member.name)
                continue
            source = tar.extractfile(member) if member.isreg() else None
            if source is None:
                raise _forbidden(archive, member.name, "a link" if member.islnk() or member.issym() else "a device")
            yield member.name, member.size, source
        if not tar.fileobj or tar.fileobj.read(1) != b"\0":  # after the first empty block comes a second
            raise EOFError("no end mark")
        while content.read(1 << 20):  # to the end, where gzip keeps its checksum
            pass


def _decompressed(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(archive) if zipped else archive.open("rb")  # type: ignore[return-value]


def _of_zip(archive: Path) -> Iterator[_Member]:
    _require_short_directory(archive)
    with zipfile.ZipFile(archive) as packed:
        _require_few(len(packed.infolist()))
        for member in packed.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _forbidden(archive, member.filename, "a link" if kind == stat.S_IFLNK else "a device")
            if member.is_dir():
                member.filename.strip("/") and _safe(
                    archive, member.filename.lstrip("/")
                )  # Dropbox lists the folder itself as "/"
                continue
            with packed.open(member) as source:
                yield member.filename, member.file_size, source


def _require_few(members: int) -> None:
    if members > MOST_MEMBERS:
        raise ValueError(f"more than {MOST_MEMBERS} members")


def _require_short_directory(archive: Path) -> None:
    """ValueError where a zip's list of members, which zipfile reads whole, takes more bytes than any can."""
    with archive.open("rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # what zipfile itself goes by
    if end is None or end[zipfile._ECD_SIZE] > LARGEST_DIRECTORY or end[zipfile._ECD_ENTRIES_TOTAL] > MOST_MEMBERS:  # type: ignore[attr-defined]
        raise ValueError("its list of members is too long")


def _safe(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if not path.parts or len(name) > LONGEST_NAME:
        raise _forbidden(archive, name[:60], "no name of a file")
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
        raise _forbidden(archive, name, "a path out of its folder")
    return path


def _forbidden(archive: Path, name: str, what: str) -> UserError:
    return UserError(f"{archive} holds {name!r}, which is {what}: nothing was unpacked, get it from another place")
