"""Unpacking archives of strangers: all of one or nothing, and never a path out of the folder."""

import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dmtl.errors import UserError
from dmtl.prepare import archives
from dmtl.prepare.archives import unpack

CONTENT = {"tree/train/image/0.npy": b"first", "tree/train/a name é.txt": b"second" * 5000, "tree/empty": b""}


def write_tar(path: Path, members: dict[str, bytes], *special: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith(("gz", "tgz")) else "w") as tar:
        folder = tarfile.TarInfo("tree")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in special:
            tar.addfile(info)
    return path


def write_zip(path: Path, members: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, 0) << 16
            packed.writestr(info, content)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.zip"])
def test_archives_are_unpacked(tmp_path: Path, name: str) -> None:
    archive = (write_zip if name.endswith("zip") else write_tar)(tmp_path / name, CONTENT)
    assert files(unpack([archive], tmp_path / "out é")) == CONTENT


def test_several_archives_go_into_one_folder(tmp_path: Path) -> None:
    """Those of Cityscapes each hold the same licence."""
    one = write_zip(tmp_path / "one.zip", {"license.txt": b"no", "left/a.png": b"a"})
    two = write_zip(tmp_path / "two.zip", {"license.txt": b"no", "right/b.png": b"b"})
    assert set(files(unpack([one, two], tmp_path / "out"))) == {"license.txt", "left/a.png", "right/b.png"}


def test_dropbox_lists_the_folder_itself(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"/": b"", "train/": b"", "train/0.npy": b"x"})
    assert files(unpack([archive], tmp_path / "out")) == {"train/0.npy": b"x"}


def test_permissions_and_owners_are_not_taken_over(tmp_path: Path) -> None:
    info = tarfile.TarInfo("run.sh")
    info.mode, info.uid = 0o6777, 12345
    folder = unpack([write_tar(tmp_path / "a.tar", {}, info)], tmp_path / "out")
    status = (folder / "run.sh").stat()
    assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)
    assert status.st_uid == os.getuid()


def _tar(*infos: tarfile.TarInfo, **members: bytes) -> Callable[[Path], Path]:
    return lambda folder: write_tar(folder / "a.tar.gz", {**CONTENT, **members}, *infos)


def _zip(members: dict[str, bytes], modes: dict[str, int] | None = None) -> Callable[[Path], Path]:
    return lambda folder: write_zip(folder / "a.zip", {**CONTENT, **members}, modes)


def _cut(make: Callable[[Path], Path], share: float) -> Callable[[Path], Path]:
    def apply(folder: Path) -> Path:
        path = make(folder)
        os.truncate(path, int(path.stat().st_size * share))
        return path

    return apply


def _plain(folder: Path) -> Path:
    return write_tar(folder / "a.tar", CONTENT)


def _cut_between(folder: Path) -> Path:
    path = write_tar(folder / "a.tar", {"tree/x": b"x" * 512, "tree/y": b"y"})
    os.truncate(path, 512 + 1024)  # the folder and the first file, to the byte
    return path


def _damaged_sum(folder: Path) -> Path:
    """Everything is there, but the checksum at the end is another."""
    path = write_tar(folder / "a.tar.gz", CONTENT)
    content = bytearray(path.read_bytes())
    content[-6] ^= 255
    path.write_bytes(content)
    return path


def _flipped(folder: Path) -> Path:
    """A zip with a damaged byte in its content."""
    path = write_zip(folder / "a.zip", {"tree/x": os.urandom(5000)})
    content = bytearray(path.read_bytes())
    content[2500] ^= 255
    path.write_bytes(content)
    return path


def _other(folder: Path) -> Path:
    path = folder / "a.tar.gz"
    path.write_bytes(b"<html>Sign in</html>")
    return path


def _declares_terabytes(folder: Path) -> Path:
    """A tar whose header promises 4 TiB."""
    info = tarfile.TarInfo("tree/huge")
    info.size = 4 << 40
    path = folder / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    return path


def _twice(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar", "w") as tar:
        for content in (b"one", b"two"):
            info = tarfile.TarInfo("tree/x")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return folder / "a.tar"


BAD = {
    "up": (_tar(**{"../up": b"x"}), r"holds '\.\./up', which is a path out of its folder: nothing was unpacked"),
    "up inside": (_tar(**{"tree/../../up": b"x"}), "a path out of its folder"),
    "absolute": (_tar(**{"/tmp/dmtl_up": b"x"}), r"holds '/tmp/dmtl_up', which is a path out of its folder"),
    "folder outside": (_tar(special("../outside", tarfile.DIRTYPE)), "a path out of its folder"),
    "symbolic link": (_tar(special("tree/link", tarfile.SYMTYPE, "/etc/passwd")), r"'tree/link', which is a link"),
    "hard link": (_tar(special("tree/link", tarfile.LNKTYPE, "tree/empty")), "which is a link"),
    "device": (_tar(special("tree/null", tarfile.CHRTYPE)), r"'tree/null', which is a device"),
    "pipe": (_tar(special("tree/pipe", tarfile.FIFOTYPE)), "which is a device"),
    "twice": (_twice, "holds 'tree/x' twice"),
    "cut tar.gz": (_cut(_tar(), 0.5), r"a\.tar\.gz is truncated or damaged"),
    "cut tar": (_cut(_plain, 0.5), r"a\.tar is truncated or damaged"),
    "tar cut between two files": (_cut_between, r"a\.tar is truncated or damaged \(no end mark\)"),
    "damaged tar.gz": (_damaged_sum, "is truncated or damaged"),
    "cut zip": (_cut(_zip({}), 0.5), r"a\.zip is truncated or damaged"),
    "empty": (_cut(_tar(), 0), "is truncated or damaged"),
    "damaged zip": (_flipped, "is truncated or damaged"),
    "no archive": (_other, "is truncated or damaged"),
    "missing": (lambda folder: folder / "a.zip", r"a\.zip is missing: download it again"),
    "huge": (_declares_terabytes, r"'tree/huge' is of 4398046511104 bytes, more than fits"),
    "zip up": (_zip({"../up": b"x"}), "a path out of its folder"),
    "zip absolute": (_zip({"/tmp/dmtl_up": b"x"}), "a path out of its folder"),
    "zip backslash": (_zip({"..\\up": b"x"}), "a path out of its folder"),
    "zip drive": (_zip({"C:up": b"x"}), "a path out of its folder"),
    "zip link": (_zip({"tree/link": b"/etc/passwd"}, {"tree/link": stat.S_IFLNK | 0o777}), "which is a link"),
    "zip device": (_zip({"tree/null": b""}, {"tree/null": stat.S_IFCHR | 0o666}), "which is a device"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_archives_leave_nothing_behind(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = make(inside)
    (tmp_path / "up").write_text("mine")
    with pytest.raises(UserError, match=message) as caught:
        unpack([archive], inside / "out" / "tree")
    assert "\n" not in str(caught.value)
    assert [path.name for path in (inside / "out").iterdir() if not path.name.endswith(".lock")] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "up"]
    assert (tmp_path / "up").read_text() == "mine"
    assert not Path("/tmp/dmtl_up").exists()


def test_a_zip_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_FILE", 1 << 20)
    bomb = write_zip(tmp_path / "a.zip", {"zeros": bytes(2 << 20)})
    assert bomb.stat().st_size < 10_000
    with pytest.raises(UserError, match="'zeros' is of 2097152 bytes"):
        unpack([bomb], tmp_path / "out")


def test_a_lie_about_the_size_is_found(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"zeros": bytes(2 << 20)})
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<L", 2 << 20), struct.pack("<L", 100)))
    with pytest.raises(UserError, match="is truncated or damaged"):
        unpack([path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_tar(tmp_path / "a.tar", CONTENT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(UserError, match=r"out could not be written \(No space left on device\): free the disk"):
        unpack([archive], tmp_path / "out")
    assert not [p for p in tmp_path.iterdir() if p.name not in ("a.tar", ".out.lock")]
    monkeypatch.undo()
    assert files(unpack([archive], tmp_path / "out")) == CONTENT


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="could not be written"):
        unpack([write_tar(tmp_path / "a.tar", CONTENT)], Path("/proc/self/dmtl/out"))


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    unpack([write_tar(tmp_path / "a.tar", CONTENT)], tmp_path / "out")
    assert files(tmp_path / "out") == {"mine": b"mine"}


def test_two_processes_at_once(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", CONTENT)
    script = "import sys; from pathlib import Path; from dmtl.prepare.archives import unpack; "
    script += "archive, folder = map(Path, sys.argv[1:]); unpack([archive], folder)"
    command = [sys.executable, "-c", script, str(archive), str(tmp_path / "out")]
    running = [subprocess.Popen(command, cwd=Path(__file__).parents[1]) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert files(tmp_path / "out") == CONTENT
    assert not list(tmp_path.glob(".*.tmp"))
