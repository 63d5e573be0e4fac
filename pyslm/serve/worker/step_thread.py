"""Steps an engine on a thread of its own and tells an event loop, once a step, what is new.

In place of the `StepLoop` of an `LLM`, whose callers step by themselves: a server's callers are
tasks of one event loop, which must not wait for a step.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyslm.errors import EngineError, InvalidRequestError
from pyslm.generation import Generation, token_logprobs
from pyslm.request import SamplingParams, StreamChunk, TokenLogprobs
from pyslm.step_loop import StepLoop

if TYPE_CHECKING:
    from pyslm import _native
    from pyslm.llm import LLM

__all__ = ["AsyncEngine", "AsyncStream"]


class AsyncEngine:
    """The generating side of an `LLM` for one event loop."""

    def __init__(self, llm: LLM) -> None:
        """To be called on the event loop that shall be told."""
        self._llm = llm
        self._thread = _StepThread(llm._loop.engine, asyncio.get_running_loop())
        llm._loop = self._thread

    def stream(
        self, prompt: list[int], params: SamplingParams, *, seed: int, sample_index: int = 0
    ) -> AsyncStream:
        """Queues a request; its errors are raised here."""
        generation = self._llm._start(prompt, params, seed=seed, sample_index=sample_index)
        return AsyncStream(self._thread, generation)

    async def embed(self, texts: Sequence[npt.NDArray[np.int32]]) -> list[npt.NDArray[np.float32]]:
        """The vector of each text, float32 [hidden]; all run together."""
        ids: list[int] = []
        try:
            for text in texts:
                ids.append(self._thread.watch(self._thread.engine.add_embedding(text)))
            return [await self._embedding(request_id) for request_id in ids]
        finally:
            for request_id in ids:
                self._thread.abort(request_id)

    async def _embedding(self, request_id: int) -> npt.NDArray[np.float32]:
        while True:
            update = await self._thread.take_update(request_id)
            if update.embedding is not None:
                return update.embedding
            if update.finish is not None:
                raise EngineError(update.error or "the request was aborted")

    async def score(self, ids: list[int], num_top: int) -> list[TokenLogprobs]:
        """How likely each token after the first is, with the most likely ones."""
        request_id = self._thread.watch(self._thread.engine.add_scoring(ids, num_top=num_top))
        found: list[TokenLogprobs] = []
        try:
            while True:
                update = await self._thread.take_update(request_id)
                found += map(token_logprobs, update.logprobs)
                if update.finish == "error":
                    raise EngineError(update.error or "scoring failed")
                if update.finish is not None:
                    return found
        finally:
            self._thread.abort(request_id)

    def stats(self) -> _native.EngineStats:
        """The engine's own numbers."""
        return self._thread.engine.stats()


class AsyncStream(AsyncIterator[StreamChunk]):
    """The chunks of one request as they come."""

    raw: bytes = b""
    """The bytes of the last chunk's text; of a character that is not whole yet, its beginning."""

    def __init__(self, thread: _StepThread, generation: Generation) -> None:
        self._thread = thread
        self._generation = generation

    async def __anext__(self) -> StreamChunk:
        if self._generation.result is not None:
            raise StopAsyncIteration
        self.raw = await self._thread.next_bytes(self._generation._id)
        return self._generation.advance()

    def close(self) -> None:
        """Takes the request out of the engine, unless it is over."""
        self._generation.abort()


class _Inbox:
    """Updates of one request that its reader has not taken yet."""

    __slots__ = ("updates", "waiter")

    def __init__(self) -> None:
        self.updates: deque[_native.RequestUpdate] = deque()
        self.waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class _StepThread(StepLoop):
    """A `StepLoop` whose requests are those of one event loop."""

    def __init__(self, engine: _native.Engine, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(engine)
        self._loop = loop
        self._inboxes: dict[int, _Inbox] = {}
        self._fault: EngineError | None = None
        self._work = threading.Condition()
        self._num_added = 0
        threading.Thread(target=self._run, name="pyslm-steps", daemon=True).start()

    def add(self, prompt: list[int], params: _native.SamplingParams) -> int:
        if self._fault is not None:
            raise self._fault
        return self.watch(self.engine.add(prompt, params))

    def watch(self, request_id: int) -> int:
        """Collects the updates of a request just added."""
        self._inboxes[request_id] = _Inbox()
        with self._work:
            self._num_added += 1
            self._work.notify()
        return request_id

    def abort(self, request_id: int) -> None:
        self._inboxes.pop(request_id, None)
        super().abort(request_id)
        with self._work:  # the engine lets go of it within a step
            self._num_added += 1
            self._work.notify()

    def next_update(self, request_id: int) -> _native.RequestUpdate:
        """The oldest one; there is one after `wait_for_update`."""
        inbox = self._inboxes[request_id]
        update = inbox.updates.popleft()
        if update.finish is not None:
            del self._inboxes[request_id]
        return update

    async def next_bytes(self, request_id: int) -> bytes:
        """Those of the next update, which stays where it is."""
        await self.wait_for_update(request_id)
        return self._inboxes[request_id].updates[0].bytes

    async def take_update(self, request_id: int) -> _native.RequestUpdate:
        """The next one."""
        await self.wait_for_update(request_id)
        return self.next_update(request_id)

    async def wait_for_update(self, request_id: int) -> None:
        inbox = self._inboxes[request_id]
        while not inbox.updates:
            if self._fault is not None:
                raise self._fault
            inbox.waiter = self._loop.create_future()
            await inbox.waiter

    def _run(self) -> None:
        engine, num_seen = self.engine, 0
        try:
            while True:
                with self._work:
                    self._work.wait_for(lambda: self._num_added != num_seen)  # noqa: B023
                    num_seen = self._num_added
                while engine.step():
                    self._hand_over(engine)
                self._hand_over(engine)
        except Exception as error:
            self._fault = EngineError(f"the engine failed: {error}")
            self._tell(self._wake_all)

    def _hand_over(self, engine: _native.Engine) -> None:
        for _ in range(len(self._leaving)):
            self._forget(engine, self._leaving.popleft())
        updates = []
        for request_id in list(self._inboxes):
            with contextlib.suppress(InvalidRequestError):  # it was aborted meanwhile
                update = engine.poll(request_id)
                if update is not None:
                    updates.append(update)
        if updates:
            self._tell(lambda: self._deliver(updates))

    def _tell(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody listens
            self._loop.call_soon_threadsafe(call)

    def _wake_all(self) -> None:
        for inbox in self._inboxes.values():
            inbox.wake()

    def _deliver(self, updates: list[_native.RequestUpdate]) -> None:
        for update in updates:
            inbox = self._inboxes.get(update.id)
            if inbox is not None:
                inbox.updates.append(update)
                inbox.wake()
