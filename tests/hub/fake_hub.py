"""A Hugging Face on loopback, which can be told to misbehave."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclasses.dataclass
class FakeHub:
    """What it has, and how it behaves."""

    url: str = ""
    files: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)
    """Repository -> file -> bytes."""
    requests: list[tuple[str, str, str | None]] = dataclasses.field(default_factory=list)
    """Method, path and Range of what was asked."""
    status: int | None = None
    """Every request is answered with it."""
    error_code: str | None = None
    """X-Error-Code, as the hub sends it."""
    wrong_sha: bool = False
    cut_after: int | None = None
    """Each answer with bytes ends after so many of them, with the connection."""
    cuts: int = 1_000_000
    """How many answers are cut."""
    ignores_range: bool = False
    flips_a_bit: bool = False
    listing: dict[str, Any] | None = None
    """In place of what it would list."""

    def gets(self) -> list[str | None]:
        """The Range of each GET for bytes."""
        return [r for method, path, r in self.requests if method == "GET" and "/cdn/" in path]


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """Runs it."""

    class Handler(_Handler):
        fake = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: ClassVar[FakeHub]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.fake
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range")))
        if hub.status is not None:
            headers = {"X-Error-Code": hub.error_code} if hub.error_code else {}
            self._answer(hub.status, b'{"error": "no"}', headers)
        elif path.startswith("/api/models/"):
            self._list(path.removeprefix("/api/models/"))
        elif "/resolve/" in path:
            repo, _, rest = path[1:].partition("/resolve/")
            self._redirect(repo, rest.partition("/")[2])
        elif path.startswith("/cdn/"):
            owner, repo, file = path.removeprefix("/cdn/").split("/", 2)
            self._bytes(hub.files[f"{owner}/{repo}"][file])
        else:
            self._answer(404, b"")

    def _list(self, repo: str) -> None:
        hub = self.fake
        if repo not in hub.files:
            self._answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [
            {
                "rfilename": file,
                "size": len(data),
                "blobId": "0" * 40,
                "lfs": {"sha256": self._sha(data), "size": len(data), "pointerSize": 134},
            }
            for file, data in hub.files[repo].items()
        ]
        siblings.append({"rfilename": "README.md", "size": 3, "blobId": "1" * 40})
        found = hub.listing or {"_id": "1", "id": repo, "sha": COMMIT, "siblings": siblings}
        self._answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _sha(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        return digest[::-1] if self.fake.wrong_sha else digest

    def _redirect(self, repo: str, file: str) -> None:
        data = self.fake.files.get(repo, {}).get(file)
        if data is None:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {
            "Location": f"{self.fake.url}/cdn/{repo}/{file}",
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(len(data)),
            "X-Linked-ETag": f'"{self._sha(data)}"',
        }
        self._answer(302, b"", headers)

    def _bytes(self, data: bytes) -> None:
        hub = self.fake
        if hub.flips_a_bit:
            data = bytes([data[0] ^ 1]) + data[1:]
        asked = self.headers.get("Range")
        start = 0
        headers = {"Accept-Ranges": "bytes"}
        if asked and not hub.ignores_range:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        sent = body
        if hub.cut_after is not None and hub.cuts > 0:
            hub.cuts -= 1
            sent = body[: hub.cut_after]
        self._answer(206 if start else 200, sent, {**headers, "Content-Length": str(len(body))})
        self.close_connection = len(sent) < len(body)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
