"""`pyslm serve` in a process of its own, and clients that cost next to nothing themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

__all__ = ["Connection", "Server", "serving"]

_START_SECONDS, _END_SECONDS = 300.0, 60.0
_LIMIT = 1 << 20


class Server:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.port = port
        self.front = psutil.Process(process.pid)
        (self.worker,) = self.front.children()

    def cpu_seconds(self) -> float:
        """That front and worker have computed so far."""
        times = [process.cpu_times() for process in (self.front, self.worker)]
        return sum(each.user + each.system for each in times)

    async def metrics(self) -> dict[str, float]:
        """Each number of /metrics, summed over its labels."""
        async with Connection.open(self.port) as connection:
            page = (await connection.ask("GET", "/metrics")).body.decode()
        found: dict[str, float] = {}
        for line in page.splitlines():
            if line.startswith("pyslm:"):
                name, _, value = line.rpartition(" ")
                plain = name.partition("{")[0].removeprefix("pyslm:")
                found[plain] = found.get(plain, 0.0) + float(value)
        return found


@contextlib.contextmanager
def serving(model: Path, *options: object) -> Iterator[Server]:
    """A server of one model, for as long as the context lasts."""
    command = [sys.executable, "-m", "pyslm", "serve", model, "--port", "0"]
    command += ["--responses-db", ":memory:", "--log-level", "warning", *options]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        try:
            line = process.stdout.readline()
            if "serves at" not in line:
                raise SystemExit(f"the server did not start: {line}")
            yield Server(process, int(line.split("serves at ")[1].split()[0].rpartition(":")[2]))
        finally:
            process.terminate()
            process.wait(_END_SECONDS)


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    seconds: float
    """From the first byte sent to the last one read."""
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Connection:
    """An HTTP/1.1 connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator[Connection]:
        """A new one; left in the middle of an answer, it is simply gone."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LIMIT)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Sends a request."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}\r\n"
        self._writer.write(f"{head}content-type: application/json\r\n\r\n".encode() + content)

    async def head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of the answer."""
        text = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.rstrip().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}

    async def chunk(self) -> bytes:
        """The next piece of an answer that comes in pieces; b"" at its end."""
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        return (await self._reader.readexactly(size + 2))[:-2]

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """A request and its whole answer."""
        began = time.perf_counter()
        self.send(method, path, body)
        status, headers = await self.head()
        if "content-length" in headers:
            content = await self._reader.readexactly(int(headers["content-length"]))
        else:
            pieces = []
            while piece := await self.chunk():
                pieces.append(piece)
            content = b"".join(pieces)
        return Answer(status, time.perf_counter() - began, content, headers)
