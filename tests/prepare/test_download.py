"""Downloads from a server on this machine: resumed, checked, and there whole or not at all."""

import threading
from pathlib import Path
from typing import Any

import pytest
from helpers.server import CONTENT, SHA256

from dmtl.errors import UserError
from dmtl.prepare import download
from dmtl.prepare.download import fetch

pytestmark = pytest.mark.usefixtures("local_host_is_known")


def _fetch(server: Any, path: Path, sha256: str | None = SHA256) -> Path:
    return fetch(f"{server.url}/file.zip", path, sha256, sleep=lambda _: None)


def _left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_file_is_downloaded(server: Any, tmp_path: Path) -> None:
    path = _fetch(server, tmp_path / "a folder é" / "file.zip")
    assert path.read_bytes() == CONTENT
    assert _left(path.parent) == {"file.zip"}


@pytest.mark.parametrize("tag", ['"one"', None])
def test_a_cut_transfer_goes_on_by_itself(server: Any, tmp_path: Path, tag: str | None) -> None:
    server.cut, server.tag = 1, tag
    assert _fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.seen == [None, f"bytes={len(CONTENT) // 2}-"]


def test_what_came_is_kept_for_the_next_call(server: Any, tmp_path: Path) -> None:
    server.cut = 3
    with pytest.raises(UserError, match=r"stopped after 896000 of 1024000 bytes; 896000 bytes are kept, the same command"):
        _fetch(server, tmp_path / "file.zip")
    assert _left(tmp_path) == {"file.zip.part", "file.zip.part.tag"}
    server.seen.clear()
    assert _fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.seen == ["bytes=896000-"]
    assert _left(tmp_path) == {"file.zip"}


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_server_without_range_sends_all_of_it_again(server: Any, tmp_path: Path, sha256: str | None) -> None:
    server.cut, server.ranges = 1, False
    assert _fetch(server, tmp_path / "file.zip", sha256).read_bytes() == CONTENT
    assert len(server.seen) == 2


def test_a_file_that_changed_on_the_server_is_begun_anew(server: Any, tmp_path: Path) -> None:
    server.cut = 3
    with pytest.raises(UserError):
        _fetch(server, tmp_path / "file.zip", None)
    server.files["/file.zip"], server.tag = CONTENT[::-1], '"two"'
    assert _fetch(server, tmp_path / "file.zip", None).read_bytes() == CONTENT[::-1]


def test_without_a_mark_or_a_checksum_pieces_are_not_joined(server: Any, tmp_path: Path) -> None:
    server.cut, server.tag = 1, None
    assert _fetch(server, tmp_path / "file.zip", None).read_bytes() == CONTENT
    assert server.seen == [None, None]


def test_a_part_that_is_whole_is_taken(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    assert _fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT + b"more")
    assert _fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_part_of_another_file_does_not_pass_the_checksum(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(bytes(1000))
    with pytest.raises(UserError, match=r"file\.zip: what came has another SHA-256, [0-9a-f]{12}\.\.\., than"):
        _fetch(server, tmp_path / "file.zip")
    assert _fetch(server, tmp_path / "file.zip").read_bytes() == CONTENT  # begun anew


def test_a_wrong_checksum_leaves_nothing(server: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="what came has another SHA-256") as caught:
        _fetch(server, tmp_path / "file.zip", "0" * 64)
    assert "\n" not in str(caught.value)
    assert _left(tmp_path) == set()


def test_the_first_digits_of_a_checksum_will_do(server: Any, tmp_path: Path) -> None:
    assert _fetch(server, tmp_path / "file.zip", SHA256[:8]).is_file()


def test_a_file_that_is_there_is_not_downloaded_again(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(CONTENT)
    _fetch(server, tmp_path / "file.zip")
    assert server.seen == []


def test_a_file_of_the_users_own_is_not_overwritten(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"file\.zip is not the published file \(SHA-256 .*\): delete it to get it anew"):
        _fetch(server, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == b"mine"
    assert server.seen == []


@pytest.mark.parametrize("code", [404, 410, 403])
def test_a_dead_link_is_told_at_once(server: Any, tmp_path: Path, code: int) -> None:
    server.errors[:] = [code]
    with pytest.raises(UserError, match=rf"the server answers {code} .*; 'python -m dmtl data' says where else"):
        _fetch(server, tmp_path / "file.zip")
    assert len(server.seen) == 1
    assert _left(tmp_path) == set()


def test_a_server_that_is_busy_is_asked_again(server: Any, tmp_path: Path) -> None:
    server.errors[:] = [503, 429]
    waited: list[float] = []
    fetch(f"{server.url}/file.zip", tmp_path / "file.zip", SHA256, sleep=waited.append)
    assert waited == [2, 4]


def test_no_server_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9/x: the transfer stopped \(.*refused.*\); 0 bytes are kept"):
        fetch("http://127.0.0.1:9/x", tmp_path / "x", sleep=lambda _: None)


def test_a_login_page_is_not_taken_for_the_file(server: Any, tmp_path: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(UserError, match="gives a web page, not the file; 'python -m dmtl data' says how to get it by hand"):
        _fetch(server, tmp_path / "file.zip", None)
    assert _left(tmp_path) == set()


def test_too_small_a_disk_is_told_before_the_transfer(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 1000, 999))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"has 999 bytes free, but .* needs 1024000: free the disk"):
        _fetch(server, tmp_path / "file.zip")
    assert _left(tmp_path) == set()


def test_a_disk_that_fills_up_is_told(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"file\.zip could not be written \(No space left on device\): free the disk"):
        _fetch(server, tmp_path / "file.zip")
    assert not (tmp_path / "file.zip").exists()


def test_a_folder_that_cannot_be_written_is_told(server: Any) -> None:
    with pytest.raises(UserError, match="could not be written"):
        _fetch(server, Path("/proc/self/dmtl/file.zip"))


def test_two_at_once_download_once(server: Any, tmp_path: Path) -> None:
    threads = [threading.Thread(target=_fetch, args=(server, tmp_path / "file.zip")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert len(server.seen) == 1


def test_the_pause_between_attempts_is_short() -> None:
    assert download.PAUSE * sum(2**k for k in range(download.ATTEMPTS - 1)) < 10


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname",
        "ftp://www.dropbox.com/x",
        "https://example.org/x",
        "https://www.dropbox.com.example.org/x",
        "https://dl.dropboxusercontent.com/x",
        "https://www.dropbox.com@example.org/x",
    ],
)
def test_only_known_hosts_are_asked(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="by hand"):
        fetch(url, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_plain_http_is_refused(monkeypatch: pytest.MonkeyPatch, server: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(download, "SCHEMES", ("https",))
    with pytest.raises(UserError, match="is not HTTPS"):
        _fetch(server, tmp_path / "x")
    assert server.seen == []


@pytest.mark.parametrize("place", ["https://example.org/x", "http://localhost:1/x", "file:///etc/hostname", "//example.org/x"])
def test_a_redirect_leads_to_known_hosts_alone(server: Any, tmp_path: Path, place: str) -> None:
    server.redirect = place
    with pytest.raises(UserError, match=r"by hand|is not allowed"):
        _fetch(server, tmp_path / "x")
    assert _left(tmp_path) == set()


@pytest.mark.parametrize("says_length", [True, False])
def test_a_file_that_goes_on_is_given_up(server: Any, tmp_path: Path, says_length: bool) -> None:
    server.says_length = says_length
    with pytest.raises(UserError, match=r"that it can have: it is not the published file"):
        fetch(f"{server.url}/file.zip", tmp_path / "x", largest=1000)
    assert not (tmp_path / "x").exists()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
