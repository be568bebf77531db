"""Downloads from a server on this machine: resumed, checked, and there whole or not at all."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dmtl.benchmarks import all_benchmarks, benchmark, nyud
from dmtl.benchmarks.benchmark import Publication
from dmtl.errors import UserError
from dmtl.prepare import download, publications
from dmtl.prepare.download import fetch
from dmtl.prepare.publications import get, get_benchmark

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `files`; `cut` stops that many of the next answers after half of their bytes."""

    files: ClassVar[dict[str, bytes]] = {}
    ranges = True
    cut = 0
    errors: ClassVar[list[int]] = []  # to answer with, one a request
    tag: str | None = '"one"'
    kind = "application/octet-stream"
    redirect: str | None = None
    says_length = True
    seen: ClassVar[list[str | None]] = []  # the Range of each request

    def do_GET(self) -> None:
        cls = type(self)
        cls.seen.append(self.headers.get("Range"))
        content = cls.files.get(self.path)
        if cls.errors or content is None:
            self.send_error(cls.errors.pop(0) if cls.errors else 404)
            return
        if cls.redirect:
            self.send_response(302)
            self.send_header("Location", cls.redirect)
            self.end_headers()
            return
        start = self._start()
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if cls.tag:
            self.send_header("ETag", cls.tag)
        self.send_header("Content-Type", cls.kind)
        if cls.says_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if cls.cut:
            cls.cut -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def _start(self) -> int:
        asked, cls = self.headers.get("Range"), type(self)
        if not asked or not cls.ranges or self.headers.get("If-Range", cls.tag) != cls.tag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def local_host_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server on this machine has no certificate."""
    monkeypatch.setattr(download, "SCHEMES", ("https", "http"))
    monkeypatch.setattr(download, "HOSTS", (*download.HOSTS, "127.0.0.1"))


@pytest.fixture
def server() -> Iterator[type[Handler]]:
    """The class of a running server, whose attributes say how it behaves; `url` is where it is."""

    class Fresh(Handler):
        files: ClassVar[dict[str, bytes]] = {"/file.zip": CONTENT}
        errors: ClassVar[list[int]] = []
        seen: ClassVar[list[str | None]] = []
        url = ""

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fresh)
    Fresh.url = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield Fresh
    running.shutdown()
    running.server_close()
    thread.join()


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


# ---- what is published where


@pytest.fixture
def published(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """NYUD's archive on that server, a zip as Dropbox makes it."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "made.zip", "w") as packed:
        packed.writestr("/", b"")
        for name in ("train/image/0.npy", "val/image/0.npy"):
            packed.writestr(f"nyuv2/{name}", b"0")
    server.files["/nyuv2.zip"] = (tmp_path / "made.zip").read_bytes()
    archive = Publication("nyud/nyuv2.zip", f"{server.url}/nyuv2.zip")
    monkeypatch.setattr(nyud, "BENCHMARK", replace(nyud.BENCHMARK, archive=archive))
    return server


def test_a_benchmark_is_downloaded_and_unpacked_once(published: Any, tmp_path: Path) -> None:
    folder = get_benchmark(tmp_path / "downloads", benchmark("nyud"))
    assert folder == tmp_path / "downloads" / "nyud" / "tree" / "nyuv2"
    assert (folder / "train/image/0.npy").read_bytes() == b"0"
    assert get_benchmark(tmp_path / "downloads", benchmark("nyud")) == folder
    assert len(published.seen) == 1


def test_archives_put_there_by_hand_are_taken(published: Any, tmp_path: Path) -> None:
    folder = tmp_path / "downloads" / "pascal"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match=r"pascal cannot be downloaded: 'python -m dmtl data' says what to do; its archive"):
        get_benchmark(tmp_path / "downloads", benchmark("pascal"))
    (folder / "under another name.zip").write_bytes((tmp_path / "made.zip").read_bytes())
    assert (get_benchmark(tmp_path / "downloads", benchmark("pascal")) / "train/image/0.npy").is_file()
    assert published.seen == []


def test_a_primary_source_put_there_by_hand_is_taken(published: Any, tmp_path: Path) -> None:
    (tmp_path / "nyud").mkdir()
    (tmp_path / "nyud" / "nyu_depth_v2_labeled.mat").touch()
    assert get_benchmark(tmp_path, benchmark("nyud")) == tmp_path / "nyud"
    assert published.seen == []


def test_the_primary_source_is_downloaded(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat")
    primary = nyud.BENCHMARK.further["nyud-primary"]
    assert {Path(f.name).name for f in primary} == set(names)
    moved = tuple(Publication(f.name, f"{server.url}/file.zip") for f in primary)
    monkeypatch.setattr(nyud, "BENCHMARK", replace(nyud.BENCHMARK, further={"nyud-primary": moved}))
    get(tmp_path, "nyud-primary")
    assert get_benchmark(tmp_path, benchmark("nyud")) == tmp_path / "nyud"
    assert {p.name for p in (tmp_path / "nyud").glob("*.mat")} == set(names)


def test_the_published_mappings_have_the_checksums_that_are_expected(shared_data: Path) -> None:
    for published in all_benchmarks():
        for file in published.masks.files if published.masks else ():
            path = shared_data / "xtc_mappings" / "original" / published.name / Path(file.name).name
            assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
            assert path.stat().st_size == file.size


def test_mappings_are_downloaded_and_checked(
    server: Any, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = shared_data / "xtc_mappings" / "original" / "nyud"
    for setting in ("onelabel", "randomlabels"):
        server.files[f"/{setting}.pth"] = (original / f"{setting}.pth").read_bytes()
    moved = tuple(replace(f, url=f"{server.url}/{Path(f.name).name}") for f in nyud.MASKS.files)
    only = replace(nyud.BENCHMARK, masks=replace(nyud.MASKS, files=moved))
    monkeypatch.setattr(publications, "all_benchmarks", lambda: [only])
    get(tmp_path, "mappings")
    assert sorted(p.name for p in (tmp_path / "mappings/nyuv2_settings").glob("*.pth")) == ["onelabel.pth", "randomlabels.pth"]
    (tmp_path / "mappings/nyuv2_settings/onelabel.pth").unlink()
    server.files["/onelabel.pth"] = server.files["/randomlabels.pth"]
    with pytest.raises(UserError, match=r"onelabel\.pth: what came has another SHA-256"):
        get(tmp_path, "mappings")


def test_weights_are_those_of_torchvision() -> None:
    torchvision = pytest.importorskip("torchvision")
    for backbone, publication in publications.WEIGHTS.items():
        weights = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"]
        assert publication.url == weights.url
        assert publication.name == f"{backbone}-{publication.sha256}.pth"
        assert publication.size / 2**20 == pytest.approx(weights.meta["_file_size"], abs=1e-2)  # type: ignore[operator]


def test_weights_go_where_torchvision_looks(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(publications, "WEIGHTS", {"resnet18": Publication("r.pth", f"{server.url}/file.zip", None, SHA256[:8])})
    get(tmp_path / "unused", "weights")
    assert (tmp_path / "hub" / "checkpoints" / "r.pth").read_bytes() == CONTENT


def test_an_unknown_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is known of 'nyd'; did you mean 'nyud'"):
        get(tmp_path, "nyd")


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
