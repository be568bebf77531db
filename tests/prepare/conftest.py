"""A server to download from."""

import http.server
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest
from helpers.server import CONTENT, Handler

from dmtl.prepare import download


@pytest.fixture
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
