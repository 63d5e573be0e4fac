"""Writes a stream of events to a client as it comes, and ends the request when the client goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from pyslm.serve.protocol.completion import Completion, collect
from pyslm.serve.protocol.dispatcher import EventStream
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.protocol.event import Event

__all__ = ["EventWriter", "collect_response", "stream_response", "until_gone"]

_T = TypeVar("_T")

PING_SECONDS = 15.0
SEND_SECONDS = 30.0
LOOK_SECONDS = 2.0

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
        clock = _Clock(send, self._writer)
        writing = asyncio.ensure_future(self._write(send, clock))
        watching = asyncio.ensure_future(_until_gone(receive))
        watching.add_done_callback(lambda _: writing.cancel())
        clock.start(writing)
        try:
            await writing
        except asyncio.CancelledError:
            if not watching.done() and not clock.expired:  # we are cancelled ourselves
                writing.cancel()
                raise
        except (ClientDisconnect, OSError) as error:
            _log.info("a client took nothing more of its stream: %s", error)
        finally:
            clock.stop()
            watching.cancel()
            await self._stream.aclose()

    async def _write(self, send: Send, clock: _Clock) -> None:
        await clock.send_message(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        writer, batch = self._writer, self._stream.batch
        await clock.send(writer.begin())
        try:
            while events := await batch():
                await clock.send(writer.events(events))
            await clock.send(writer.end())
        except ServeError as error:
            await clock.send(writer.error(error))
        clock.stop()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Clock:
    """Sends pieces; pings where there are none, and gives up where they are not taken.

    Looks at the time every few seconds, since a timer for each piece costs more than the piece.
    """

    def __init__(self, send: Send, writer: EventWriter) -> None:
        self.expired = False
        self._send = send
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._writing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ping: asyncio.Future[None] | None = None
        self._is_sending = False
        self._num_sent = self._num_seen = 0
        self._seen_at = 0.0

    async def send(self, body: bytes) -> None:
        """More of the body."""
        if body:
            await self.send_message({"type": "http.response.body", "body": body, "more_body": True})

    async def send_message(self, message: Message) -> None:
        """Any message."""
        self._is_sending = True
        await self._send(message)
        self._is_sending = False
        self._num_sent += 1

    def start(self, writing: asyncio.Future[None]) -> None:
        """Begins to look; `writing` is cancelled when the client takes nothing."""
        self._writing = writing
        self._seen_at = self._loop.time()
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Ends it."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        if self._num_sent != self._num_seen:
            self._num_seen, self._seen_at = self._num_sent, now
        elif self._is_sending and now - self._seen_at >= SEND_SECONDS:
            self.expired = True
            _log.info("a client has taken nothing of its stream for %g s", SEND_SECONDS)
            assert self._writing is not None
            self._writing.cancel()
        elif not self._is_sending and now - self._seen_at >= PING_SECONDS:
            self._ping = asyncio.ensure_future(self.send(self._writer.ping()))


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
