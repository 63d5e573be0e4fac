"""A response while it comes: written as events, and kept before its end is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from pyslm.serve.openai.responses.answer import Answer
from pyslm.serve.openai.sse import PING
from pyslm.serve.protocol import Event, EventStream, ServeError

__all__ = ["KeptStream", "ResponseWriter"]

_encode = msgspec.json.encode


class ResponseWriter:
    """Writes `response.*` events."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._num_written = 0

    def begin(self) -> bytes:
        return self._write(self._answer.begin())

    def events(self, events: Sequence[Event]) -> bytes:
        return b"".join(self._write(self._answer.add(event)) for event in events)

    def end(self) -> bytes:
        return self._write(self._answer.end())

    def error(self, error: ServeError) -> bytes:
        return self._write(self._answer.fail(error))

    def ping(self) -> bytes:
        return PING

    def _write(self, events: Iterable[dict[str, Any]]) -> bytes:
        """Each at once: the objects in them go on to change."""
        written = bytearray()
        for event in events:
            numbered = {**event, "sequence_number": self._num_written}
            written += b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(numbered))
            self._num_written += 1
        return bytes(written)


class KeptStream:
    """A stream that does something before it says that it has ended.

    A client that has read `response.completed` may go on from that response at once, so it has to
    be kept by then.
    """

    def __init__(self, stream: EventStream, keep: Callable[[], Awaitable[None]]) -> None:
        self.load_seconds = stream.load_seconds
        self._stream = stream
        self._keep = keep

    def __aiter__(self) -> KeptStream:
        return self

    async def __anext__(self) -> Event:
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            await self._keep()
            raise

    async def batch(self) -> list[Event]:
        events = await self._stream.batch()
        if not events:
            await self._keep()
        return events

    async def aclose(self) -> None:
        await self._stream.aclose()
