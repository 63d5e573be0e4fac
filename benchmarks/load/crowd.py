"""Crowds of clients: more than there are places, and those that leave in mid-stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from load.server import Connection, Server

__all__ = ["Refusals", "disconnects", "overload"]

OVER = 50
TOKENS = 128
_MISSING = 1e9


class Asker(Protocol):
    """Knows how a server is asked."""

    path: str

    @property
    def context_length(self) -> int:
        """In tokens."""
        ...

    def body(self, prompt: str, tokens: int, **fields: Any) -> dict[str, Any]:
        """A request for so many tokens."""
        ...


@dataclass(slots=True)
class Refusals:
    """What clients met that a server had no place for."""

    seconds: list[float] = field(default_factory=list)
    """Of each 429."""
    num_whole: int = 0
    """Requests accepted and answered in full."""
    num_lost: int = 0
    """Requests that got neither a 429 nor a whole answer."""

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        if len(self.seconds) < 2:
            return _MISSING
        return statistics.quantiles(self.seconds, n=100)[percent - 1] * 1e3

    async def ask(self, connection: Connection, path: str, body: dict[str, Any]) -> bool:
        """One request; gives whether it was refused."""
        try:
            answer = await connection.ask("POST", path, body)
            if answer.status == 429:
                self.seconds.append(answer.seconds)
                return True
            is_whole = answer.status == 200 and _num_tokens(answer.body) == body["max_tokens"]
        except (OSError, EOFError, ValueError):
            is_whole = False
        self.num_whole += is_whole
        self.num_lost += not is_whole
        return False


def _num_tokens(body: bytes) -> int:
    """That an answer says it has, streamed or not."""
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")] or [body]
    return int((json.loads(events[-1])["usage"] or {}).get("completion_tokens", 0))


async def overload(
    bench: Asker, server: Server, places: int, *, seconds: float, at_once: bool
) -> Refusals:
    """50 times as many clients as places, with a connection each; every other one streams.

    Args:
        at_once: all ask in the same instant, again once all are answered; otherwise each by
            itself, and again once it is answered, or a second after it was refused as it is told.
    """
    found = Refusals()
    deadline = time.monotonic() + seconds
    fields = ({}, {"stream": True, "stream_options": {"include_usage": True}})
    bodies = [bench.body("Hi", TOKENS, **each) for each in fields]

    async def client(index: int, connection: Connection) -> None:
        await asyncio.sleep(0 if at_once else random.random())
        while True:
            is_refused = await found.ask(connection, bench.path, bodies[index % 2])
            if at_once or time.monotonic() > deadline:
                return
            if is_refused:
                await asyncio.sleep(0.5 + random.random())

    async with contextlib.AsyncExitStack() as stack:
        opened = [Connection.open(server.port) for _ in range(OVER * places)]
        connections = [await stack.enter_async_context(each) for each in opened]
        await connections[0].ask("POST", bench.path, bodies[0])  # warms up
        while time.monotonic() < deadline:
            await asyncio.gather(*(client(*each) for each in enumerate(connections)))
    return found


async def disconnects(bench: Asker, server: Server, count: int, *, width: int = 50) -> float:
    """Clients that leave, so many at a time; gives the share of blocks in use once all have, and
    fails where the server does not answer on."""
    body = bench.body("Hi", bench.context_length // 2, stream=True)

    async def leave(index: int) -> None:
        async with Connection.open(server.port) as connection:
            connection.send("POST", bench.path, body)
            if index % 3 == 0:
                await asyncio.sleep(random.random() * 0.005)
                return
            await connection.head()
            for _ in range(2 + index % 7):
                if not await connection.chunk():
                    return

    async def leave_often(begin: int) -> None:
        for index in range(begin, count, width):
            await leave(index)

    await asyncio.gather(*map(leave_often, range(width)))
    numbers = await _quiet(server)
    async with Connection.open(server.port) as connection:
        answer = await connection.ask("POST", bench.path, bench.body("Hi", 8))
    if answer.status != 200 or _num_tokens(answer.body) != 8:
        raise SystemExit(f"the server no longer answers: {answer.status} {answer.body[:200]!r}")
    return numbers["kv_cache_usage_perc"]


async def _quiet(server: Server, seconds: float = 10.0) -> dict[str, float]:
    """The metrics once nothing runs, or when it takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        await asyncio.sleep(1.2)  # the worker tells its numbers every second
        numbers = await server.metrics()
        busy = numbers["num_requests_running"] + numbers["num_requests_waiting"]
        if (not busy and not numbers["kv_cache_usage_perc"]) or time.monotonic() > deadline:
            return numbers
