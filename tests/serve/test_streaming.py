"""Streams to clients that are slow, silent or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pyslm.serve import streaming
from pyslm.serve.protocol import ContentDelta, Event, ServeError


class Stream:
    """Gives what it is told, and remembers being closed."""

    load_seconds = 0.0

    def __init__(self, *batches: list[Event] | ServeError, pause: float = 0.0) -> None:
        self.batches = list(batches)
        self.pause = pause
        self.closed = False

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Event:
        raise NotImplementedError

    async def batch(self) -> list[Event]:
        await asyncio.sleep(self.pause)
        found: Any = self.batches.pop(0) if self.batches else []
        if isinstance(found, ServeError):
            raise found
        return list(found)

    async def aclose(self) -> None:
        self.closed = True


class Writer:
    def begin(self) -> bytes:
        return b"<"

    def events(self, events: Sequence[Event]) -> bytes:
        return b"".join(e.text.encode() for e in events if isinstance(e, ContentDelta))

    def end(self) -> bytes:
        return b">"

    def error(self, error: ServeError) -> bytes:
        return b"!" + error.message.encode()

    def ping(self) -> bytes:
        return b"."


async def run(
    stream: Stream, *, leaves_after: float = 1e9, takes: float = 0.0
) -> tuple[bytes, bool]:
    """The body, and whether it was told to be over."""
    parts: list[bytes] = []
    over = False

    async def send(message: Any) -> None:
        nonlocal over
        await asyncio.sleep(takes)
        parts.append(message.get("body", b""))
        over = message["type"] == "http.response.body" and not message.get("more_body")

    async def receive() -> Any:
        await asyncio.sleep(leaves_after)
        return {"type": "http.disconnect"}

    response = streaming.stream_response(stream, Writer())
    async with asyncio.timeout(10):
        await response({"type": "http"}, receive, send)
    return b"".join(parts), over


def deltas(*texts: str) -> list[list[Event]]:
    return [[ContentDelta(0, text)] for text in texts]


def test_all_of_it_is_written_and_the_stream_closed() -> None:
    stream = Stream(*deltas("a", "b", "c"))
    assert asyncio.run(run(stream)) == (b"<abc>", True)
    assert stream.closed


def test_an_error_under_way_is_the_last_piece() -> None:
    stream = Stream(*deltas("a"), ServeError("crashed", "gone"))
    assert asyncio.run(run(stream)) == (b"<a!gone", True)
    assert stream.closed


def test_a_client_that_leaves_ends_the_stream() -> None:
    stream = Stream(*deltas("a"), pause=60)
    body, over = asyncio.run(run(stream, leaves_after=0.05))
    assert (body, over) == (b"<", False)
    assert stream.closed


def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SEND_SECONDS", 0.05)
    monkeypatch.setattr(streaming, "LOOK_SECONDS", 0.02)
    stream = Stream(*deltas("a"))
    _, over = asyncio.run(run(stream, takes=60))
    assert not over
    assert stream.closed


def test_silence_is_filled_with_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PING_SECONDS", 0.05)
    monkeypatch.setattr(streaming, "LOOK_SECONDS", 0.02)
    stream = Stream(*deltas("a", "b"), pause=0.3)
    body, over = asyncio.run(run(stream))
    assert over
    assert body.replace(b".", b"") == b"<ab>"
    assert body.count(b".") >= 3


def test_a_cancelled_response_closes_its_stream() -> None:
    stream = Stream(*deltas("a"), pause=60)

    async def scenario() -> None:
        running = asyncio.create_task(run(stream))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scenario())
    assert stream.closed
