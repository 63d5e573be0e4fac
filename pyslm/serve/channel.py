"""The front's side of the socket to one worker: requests out, streams of events in."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TypeVar

import msgspec

from pyslm.serve import wire
from pyslm.serve.protocol.embedding import EmbedRequest, EmbedResult
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.protocol.event import Event, Finished
from pyslm.serve.protocol.request import GenerateRequest
from pyslm.serve.protocol.scores import (
    LikelihoodRequest,
    LikelihoodResult,
    PairsRequest,
    PairsResult,
)
from pyslm.serve.protocol.tokens import DetokenizeRequest, TokenizeRequest, TokenizeResult

__all__ = ["Channel", "ChannelStream"]

_R = TypeVar("_R")


class Channel:
    """One worker, as long as it lives. Everything asked of a dead one fails with "crashed"."""

    def __init__(self) -> None:
        self.socket = wire.FrameProtocol(self._take, self._lost)
        self.ready: asyncio.Future[wire.Ready] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        self.loaded_fraction = 0.0
        self._decode = msgspec.msgpack.Decoder(wire.ToFront).decode
        self._numbers = itertools.count(1)
        self._streams: dict[int, ChannelStream] = {}
        self._replies: dict[int, asyncio.Future[object]] = {}
        self._last_event = 0.0

    def silent_seconds(self) -> float:
        """How long streams have waited for an event, the luckiest of them; 0 without streams."""
        return time.monotonic() - self._last_event if self._streams else 0.0

    @property
    def num_running(self) -> int:
        """Requests that are not answered yet."""
        return len(self._streams) + len(self._replies)

    async def generate(self, request: GenerateRequest) -> ChannelStream:
        """Sends a request; returns once the worker has accepted it."""
        number = next(self._numbers)
        stream = ChannelStream(self, number, request.sampling.n)
        self._check_alive()
        if not self._streams:
            self._last_event = time.monotonic()
        self._streams[number] = stream
        try:
            self.socket.send(wire.Generate(number, request))
            await stream.started()
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Vectors of texts."""
        number = next(self._numbers)
        return await self._ask(number, wire.Embed(number, request), EmbedResult)

    async def score_pairs(self, request: PairsRequest) -> PairsResult:
        """How well texts fit each other."""
        number = next(self._numbers)
        return await self._ask(number, wire.ScorePairs(number, request), PairsResult)

    async def likelihoods(self, request: LikelihoodRequest) -> LikelihoodResult:
        """How likely texts are."""
        number = next(self._numbers)
        return await self._ask(number, wire.Likelihoods(number, request), LikelihoodResult)

    async def tokenize(self, request: TokenizeRequest) -> TokenizeResult:
        """Token ids."""
        number = next(self._numbers)
        return await self._ask(number, wire.Tokenize(number, request), TokenizeResult)

    async def detokenize(self, request: DetokenizeRequest) -> str:
        """Text of token ids."""
        number = next(self._numbers)
        return await self._ask(number, wire.Detokenize(number, request), str)

    async def ping(self) -> wire.WorkerStats:
        """The worker's numbers; the answer shows that it is alive."""
        number = next(self._numbers)
        return await self._ask(number, wire.Ping(number), wire.WorkerStats)

    async def _ask(self, number: int, message: wire.ToWorker, kind: type[_R]) -> _R:
        self._check_alive()
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            self.socket.send(message)
            result = await reply
        except asyncio.CancelledError:
            self.cancel(number)
            raise
        finally:
            del self._replies[number]
        assert isinstance(result, kind)
        return result

    def cancel(self, number: int) -> None:
        """Tells the worker that nobody waits any more."""
        self._streams.pop(number, None)
        self.socket.send(wire.Cancel(number))

    def finish(self, number: int) -> None:
        """Forgets a stream that is over."""
        self._streams.pop(number, None)

    def _check_alive(self) -> None:
        if self.lost.is_set():
            raise _crashed()

    def _take(self, frame: bytes) -> None:
        message = self._decode(frame)
        if isinstance(message, wire.Step):
            self._last_event = time.monotonic()
            for number, events in message.deltas:
                stream = self._streams.get(number)
                if stream is not None:
                    stream.push(events)
        elif isinstance(message, wire.Failed):
            self._fail(message.channel, message.error.error())
        elif isinstance(message, wire.Loading):
            self.loaded_fraction = message.fraction
        elif isinstance(message, wire.Ready):
            self.ready.set_result(message)
        elif isinstance(message, wire.LoadFailed):
            self.ready.set_exception(message.error.error())
        else:
            reply = self._replies.get(message.channel)
            if reply is not None and not reply.done():
                reply.set_result(message.result)

    def _fail(self, number: int, error: ServeError) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            stream.fail(error)
        reply = self._replies.get(number)
        if reply is not None and not reply.done():
            reply.set_exception(error)

    def _lost(self) -> None:
        self.lost.set()
        if not self.ready.done():
            self.ready.set_exception(
                ServeError("crashed", "the model's process ended while it was loading")
            )
            self.ready.exception()  # it may be that nobody asks any more
        for number in [*self._streams, *self._replies]:
            self._fail(number, _crashed())


def _crashed() -> ServeError:
    return ServeError(
        "crashed",
        "the model's process ended while it answered; it is being started anew, try again",
        retry_after=1,
    )


class ChannelStream:
    """The events of one request as they arrive; an `EventStream`."""

    def __init__(self, channel: Channel, number: int, num_choices: int) -> None:
        self.load_seconds = 0.0
        self._channel = channel
        self._number = number
        self._num_open = num_choices
        self._events: list[Event] = []
        self._error: ServeError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def push(self, events: list[Event]) -> None:
        """Takes what has arrived."""
        self._events += events
        for event in events:
            if type(event) is Finished:
                self._num_open -= 1
        if self._num_open <= 0:
            self._channel.finish(self._number)
        self._wake()

    def fail(self, error: ServeError) -> None:
        """There is nothing to come but this error."""
        self._error = error
        self._channel.finish(self._number)
        self._wake()

    async def started(self) -> None:
        """Waits for the first event, and leaves it where it is."""
        while not self._events and self._error is None:
            await self._wait()
        if not self._events and self._error is not None:
            raise self._error

    async def batch(self) -> list[Event]:
        while not self._events:
            if self._error is not None:
                raise self._error
            if self._num_open <= 0:
                return []
            await self._wait()
        events, self._events = self._events, []
        return events

    def __aiter__(self) -> ChannelStream:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._error is not None:
                raise self._error
            if self._num_open <= 0:
                raise StopAsyncIteration
            await self._wait()
        return self._events.pop(0)

    async def aclose(self) -> None:
        if self._num_open > 0 and self._error is None:
            self._num_open = 0
            self._channel.cancel(self._number)
            self._wake()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
