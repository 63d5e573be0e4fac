"""A stream on its way from a worker to a dialect: counted, measured, and its place given back."""

from __future__ import annotations

import asyncio
import time

from pyslm.serve.caller import current_caller
from pyslm.serve.limits import Limits
from pyslm.serve.metrics import Metrics
from pyslm.serve.protocol.dispatcher import EventStream
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.protocol.event import Event, Finished, Started
from pyslm.serve.protocol.request import GenerateRequest
from pyslm.serve.slot import Slot
from pyslm.serve.tracing import current_trace

__all__ = ["TrackedStream"]

_MEMORY_OF_MEAN = 0.9


class TrackedStream:
    """An `EventStream` around another."""

    def __init__(
        self, slot: Slot, request: GenerateRequest, metrics: Metrics, limits: Limits
    ) -> None:
        """Of a request that the slot has already counted."""
        self.load_seconds = 0.0
        self._slot = slot
        self._num_choices = request.sampling.num_samples
        self._metrics = metrics
        self._limits = limits
        self._caller = current_caller.get()
        self._began = time.monotonic()
        self._saw_token = False
        self._over = False
        self._stream: EventStream | None = None
        self._trace = current_trace.get()
        self._num_tokens = 0

    def attach(self, stream: EventStream) -> None:
        """The request is accepted; here come its events."""
        self._stream = stream
        self._trace.accepted(self.load_seconds)

    def fail(self, error: BaseException) -> None:
        """The request ended so."""
        if not self._over:
            kind = error.kind if isinstance(error, ServeError) else "internal"
            if isinstance(error, asyncio.CancelledError):
                kind = "disconnected"  # type: ignore[assignment]
            self._metrics.failures.labels(self._slot.card.id, kind).inc()
            self._trace.failed(kind)
            self._leave()

    def __aiter__(self) -> TrackedStream:
        return self

    async def __anext__(self) -> Event:
        assert self._stream is not None
        try:
            event = await self._stream.__anext__()
        except StopAsyncIteration:
            self._leave()
            raise
        except ServeError as error:
            self.fail(error)
            raise
        self._see(event)
        return event

    async def batch(self) -> list[Event]:
        assert self._stream is not None
        try:
            events = await self._stream.batch()
        except ServeError as error:
            self.fail(error)
            raise
        for event in events:
            self._see(event)
        if not events:
            self._leave()
        return events

    async def aclose(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
        if not self._over:
            if self._num_tokens == 0:
                self._metrics.failures.labels(self._slot.card.id, "disconnected").inc()
                self._trace.failed("disconnected")
            self._leave()

    def _see(self, event: Event) -> None:
        if not self._saw_token and type(event) is not Started:
            self._saw_token = True
            waited = time.monotonic() - self._began
            self._metrics.first_token.labels(self._slot.card.id).observe(waited)
            self._trace.first_token(waited)
        if type(event) is Finished:
            self._metrics.finished(self._slot.card.id, event)
            self._trace.finished(event)
            self._num_tokens += event.completion_tokens
            self._num_tokens += event.prompt_tokens if event.choice == 0 else 0

    def _leave(self) -> None:
        if self._over:
            return
        self._over = True
        slot = self._slot
        slot.leave(self._num_choices)
        seconds = time.monotonic() - self._began
        slot.mean_seconds += (seconds - slot.mean_seconds) * (1 - _MEMORY_OF_MEAN)
        self._metrics.end_to_end.labels(slot.card.id).observe(seconds)
        self._limits.spend(self._caller, self._num_tokens)
