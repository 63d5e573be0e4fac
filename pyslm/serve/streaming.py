"""Writes a stream of events to a client as it comes, and ends the request when the client goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pyslm.serve.protocol.completion import Completion, collect
from pyslm.serve.protocol.dispatcher import EventStream
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.protocol.event import Event

__all__ = ["EventWriter", "collect_response", "stream_response", "until_gone"]

_T = TypeVar("_T")

PING_SECONDS = 15.0
SEND_SECONDS = 30.0

_log = logging.getLogger(__name__)


class EventWriter(Protocol):
    """How a dialect writes a stream: bytes for each thing that happens, b"" for nothing."""

    def begin(self) -> bytes:
        """Before the first event."""
        ...

    def events(self, events: Sequence[Event]) -> bytes:
        """What came in one step of the engine."""
        ...

    def end(self) -> bytes:
        """After the last event."""
        ...

    def error(self, error: ServeError) -> bytes:
        """In place of what would have come; nothing comes after it."""
        ...

    def ping(self) -> bytes:
        """When there was nothing for 15 seconds, so that nobody in between hangs up."""
        ...


def stream_response(
    stream: EventStream,
    writer: EventWriter,
    *,
    media_type: str = "text/event-stream",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response that lasts as long as `stream`.

    The stream is closed in every case: at its end, when the client goes away, and when the client
    takes nothing for 30 seconds.
    """
    return _StreamedResponse(stream, writer, media_type, headers or {})


class _StreamedResponse(Response):
    """Starlette's `StreamingResponse` without its task group for each response, and with events."""

    def __init__(
        self, stream: EventStream, writer: EventWriter, media_type: str, headers: Mapping[str, str]
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self._stream = stream
        self._writer = writer
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"} | dict(headers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        writing = asyncio.ensure_future(self._write(send))
        watching = asyncio.ensure_future(_until_gone(receive))
        watching.add_done_callback(lambda _: writing.cancel())
        try:
            await writing
        except asyncio.CancelledError:
            if not watching.done():  # we are cancelled ourselves
                writing.cancel()
                raise
        except (TimeoutError, ClientDisconnect, OSError) as error:
            _log.info("a client took nothing more of its stream: %s", error or "timed out")
        finally:
            watching.cancel()
            await self._stream.aclose()

    async def _write(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        writer = self._writer
        await _send(send, writer.begin())
        try:
            while (events := await self._next()) != []:
                await _send(send, writer.ping() if events is None else writer.events(events))
            await _send(send, writer.end())
        except ServeError as error:
            await _send(send, writer.error(error))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self) -> Sequence[Event] | None:
        """The events of a step; none at the end; None when nothing came for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PING_SECONDS):
                return await self._stream.batch()
        return None


async def _send(send: Send, body: bytes) -> None:
    if body:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_gone(request: Request, work: Awaitable[_T]) -> _T:
    """The result of some work, which is cancelled when the client of a request goes away."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_until_gone(request.receive))
    watching.add_done_callback(lambda _: working.cancel())
    try:
        return await working
    except asyncio.CancelledError:
        if watching.done():
            raise ClientDisconnect from None
        working.cancel()
        raise
    finally:
        watching.cancel()


async def collect_response(request: Request, stream: EventStream, num_choices: int) -> Completion:
    """`collect`, until the client goes away.

    Raises:
        ServeError: the request failed under way.
    """
    return await until_gone(request, collect(stream, num_choices))
