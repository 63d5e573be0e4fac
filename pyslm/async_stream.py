"""The stream of one request for a program that runs an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from pyslm.async_steps import AsyncSteps, Running
from pyslm.errors import InvalidRequestError
from pyslm.generation import PreparedRequest
from pyslm.request import GenerationResult, StreamChunk

__all__ = ["AsyncChunkStream"]


class AsyncChunkStream(AsyncIterator[StreamChunk]):
    """The chunks of one request as they come, for one reader.

    Closing it, from any task, takes the request out of the engine and ends the reading; so does
    cancelling the reader, or letting go of the stream.
    """

    def __init__(self, steps: AsyncSteps, prepare: Callable[[], PreparedRequest]) -> None:
        self._steps = steps
        self._prepare = prepare
        self._request: PreparedRequest | None = None
        self._running: Running | None = None
        self._starting = asyncio.Lock()
        self._reading = False
        self._closed = False
        self.raw = b""
        """The bytes of the last chunk's text; a character may be cut at their ends."""

    @property
    def result(self) -> GenerationResult:
        """The whole result, once the last chunk has come."""
        if self._request is None or self._request.transcript.result is None:
            raise ValueError("the stream has not ended; its result comes with the last chunk")
        return self._request.transcript.result

    async def start(self) -> None:
        """Queues the request, unless that is done; its errors are raised here."""
        if self._closed or self._running is not None:
            return
        try:
            async with self._starting:
                await self._start()
        except BaseException:  # cancellation too
            self._leave()
            raise

    async def _start(self) -> None:
        if self._closed or self._running is not None:  # by another task, while this one waited
            return
        # Long prompts take a while to tokenize, a first grammar a second to get ready.
        self._request = await asyncio.to_thread(self._prepare)
        if not self._closed:
            self._running = self._steps.start(self._request.ask)

    async def __anext__(self) -> StreamChunk:
        """Raises InvalidRequestError where another task is already waiting for the same."""
        if self._reading:
            raise InvalidRequestError(
                "another task is waiting for the next piece of this stream; read it from one task"
            )
        self._reading = True
        try:
            await self.start()
            return await self._next_chunk()
        finally:
            self._reading = False

    async def _next_chunk(self) -> StreamChunk:
        if self._closed or self._running is None or self._request is None:
            raise StopAsyncIteration
        try:
            update = await self._running.next_update()
            if update is None or self._closed:  # by another task, while this one waited
                raise StopAsyncIteration
            self.raw = update.bytes
            chunk = self._request.transcript.take(update)
        except BaseException:  # cancellation too: nothing of ours stays in the engine
            self._leave()
            raise
        if chunk.result is not None:
            self._closed = True
        return chunk

    async def aclose(self) -> None:
        """Ends the stream and frees what it held in the engine."""
        self._leave()
        if self._running is not None:
            self._running.put(None)

    def _leave(self) -> None:
        self._closed = True
        if self._running is not None:
            self._running.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self._leave()
