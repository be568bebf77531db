"""A server on this machine whose answers can be cut, wrong or late."""

import hashlib
import http.server
from typing import Any, ClassVar

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
