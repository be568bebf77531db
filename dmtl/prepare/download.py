"""Download one file: resumed where it stopped, checked, and there whole or not at all.

What has arrived lies beside the file as `<name>.part`, with the server's mark of the version (`<name>.part.tag`), and goes on
from there in the next call, if the server still has that version and can send the rest; else it starts anew. (pooch, the usual
library for this, starts anew each time.)
"""

import http.client
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from dmtl.errors import UserError
from dmtl.files import file_sha256

ATTEMPTS = 3
PAUSE = 2.0  # seconds before the second attempt; doubled each time
TIMEOUT = 60.0  # seconds without a byte
CHUNK = 1 << 20
LARGEST = 16 << 30  # bytes of a file of unknown size; six times the largest published one
SCHEMES = ("https",)
# Where files may come from, also after a redirect; a name that begins with a dot stands for all hosts that end so.
HOSTS = (
    "download.pytorch.org",
    "horatio.cs.nyu.edu",
    "raw.githubusercontent.com",
    "www.dropbox.com",
    ".dl.dropboxusercontent.com",
)
_LOST = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class _Interrupted(Exception):
    """The transfer stopped, and may go on."""


def fetch(
    url: str, path: Path, sha256: str | None = None, sleep: Callable[[float], Any] = time.sleep, largest: int = LARGEST
) -> Path:
    """The file at `path`, downloaded if it is not there.

    Args:
        url: https, of one of `HOSTS`.
        path: where it belongs; a file that is there already is checked and left as it is.
        sha256: hexadecimal, or the first digits of it; None where it is not known.
        sleep: waits between two attempts, seconds.
        largest: bytes that it may have; what goes on beyond them is given up.

    Raises:
        UserError: the server has no such file, the transfer was interrupted (what came is kept), the checksum is another one, the
            disk is full or the folder cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    _require_known(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):  # a second process waits, then finds the file
            if not path.is_file():
                _transfer(url, part, sha256 is not None, sleep, largest)
                _check(part, path, sha256)
                part.replace(path)
                _tag(part).unlink(missing_ok=True)
            elif sha256 and not (digest := file_sha256(path)).startswith(sha256):
                raise UserError(f"{path} is not the published file (SHA-256 {digest[:12]}...): delete it to get it anew")
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror or error}): free the disk or mend the folder") from error
    return path


class _KnownHosts(urllib.request.HTTPRedirectHandler):
    """Redirects lead to known hosts over HTTPS alone."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _require_known(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_known(url: str) -> None:
    """UserError unless a file may come from there."""
    parts = urllib.parse.urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme not in SCHEMES:
        raise UserError(
            f"{url[:200]} is not HTTPS: anybody on the way could change it; get the file by hand ('python -m dmtl data')"
        )
    if not any(host.endswith(known) if known.startswith(".") else host == known for known in HOSTS):
        raise UserError(
            f"{url[:200]}: '{host}' is no host that files are published on; get the file by hand ('python -m dmtl data')"
        )


def _check(part: Path, path: Path, sha256: str | None) -> None:
    if sha256 and not (digest := file_sha256(part)).startswith(sha256):
        part.unlink()
        _tag(part).unlink(missing_ok=True)
        raise UserError(f"{path}: what came has another SHA-256, {digest[:12]}..., than {sha256[:12]}...: try again later")


def _transfer(url: str, part: Path, known: bool, sleep: Callable[[float], Any], largest: int) -> None:
    for attempt in range(ATTEMPTS):
        try:
            return _request(url, part, known, largest)
        except _Interrupted as error:
            if attempt + 1 == ATTEMPTS:
                have = part.stat().st_size if part.is_file() else 0
                raise UserError(f"{url}: {error}; {have} bytes are kept, the same command goes on from there") from None
            sleep(PAUSE * 2**attempt)


def _request(url: str, part: Path, known: bool, largest: int) -> None:
    """One attempt; `known`: a checksum will tell whether the pieces fit together."""
    start, mark = (part.stat().st_size if part.is_file() else 0), _mark(part)
    start = start if mark or known else 0
    headers = {"User-Agent": "dmtl", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        headers |= {"If-Range": mark} if mark else {}
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.build_opener(_KnownHosts).open(request, timeout=TIMEOUT) as response:
            _receive(response, url, part, start, largest)
    except urllib.error.HTTPError as error:
        _refused(error, url, part, start)
    except _LOST as error:
        raise _Interrupted(f"the transfer stopped ({getattr(error, 'reason', None) or error or type(error).__name__})") from None


def _refused(error: urllib.error.HTTPError, url: str, part: Path, start: int) -> None:
    if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return  # all of it has arrived before
        part.unlink()
        raise _Interrupted("the server's file is shorter than what had arrived") from None
    reason = f"the server answers {error.code} {error.reason}"
    if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code == HTTPStatus.TOO_MANY_REQUESTS:
        raise _Interrupted(reason) from None
    raise UserError(f"{url}: {reason}; 'python -m dmtl data' says where else to get it") from None


def _receive(response: Any, url: str, part: Path, start: int, largest: int) -> None:
    if response.headers.get_content_type() == "text/html":
        raise UserError(f"{url} gives a web page, not the file; 'python -m dmtl data' says how to get it by hand")
    sent = response.headers.get("Content-Range", "")
    resumed = response.status == HTTPStatus.PARTIAL_CONTENT and sent.startswith(f"bytes {start}-")
    start = start if resumed else 0
    length = response.headers.get("Content-Length")
    total = start + int(length) if length and length.isdecimal() and len(length) < 20 else None
    if (total or 0) > largest:
        raise UserError(f"{url} has {total} bytes, more than the {largest} that it can have: it is not the published file")
    if total and total - start > (free := shutil.disk_usage(part.parent).free):
        raise UserError(f"{part.parent} has {free} bytes free, but {url} needs {total - start}: free the disk")
    etag = response.headers.get("ETag", "")
    _tag(part).write_text((etag if etag.startswith('"') else "") or response.headers.get("Last-Modified", ""))
    title = part.name.removesuffix(".part")
    with (
        part.open("ab" if resumed else "wb") as file,
        tqdm(desc=title, total=total, initial=start, unit="B", unit_scale=True, disable=None) as bar,
    ):
        while chunk := _read(response):
            if file.tell() + len(chunk) > largest:  # whatever the server said of its length, or left unsaid
                raise UserError(f"{url} goes on beyond the {largest} bytes that it can have: it is not the published file")
            file.write(chunk)
            bar.update(len(chunk))
    if total and part.stat().st_size < total:
        raise _Interrupted(f"the transfer stopped after {part.stat().st_size} of {total} bytes")


def _read(response: Any) -> bytes:
    try:
        return response.read1(CHUNK)
    except _LOST as error:
        raise _Interrupted(f"the transfer stopped ({error})") from None


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _mark(part: Path) -> str:
    return _tag(part).read_text().strip() if _tag(part).is_file() else ""
