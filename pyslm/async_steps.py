"""Steps an engine for event loops: their requests' updates come without anyone waiting for a step.

One thread steps while such requests run and sleeps while there are none. It takes its turns
through the `StepLoop`, so that callers who step by themselves may use the same model at the same
time. After each step every event loop is told once, of all that is new for it; what it does then,
or fails to do, does not hold up the engine: updates wait in memory until they are read, at most
`max_tokens` of a request.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from pyslm.errors import EngineError, PyslmError
from pyslm.step_loop import StepLoop

if TYPE_CHECKING:
    from pyslm import _native

__all__ = ["AsyncSteps", "Running"]


class Running:
    """A request in the engine, and what its reader has not taken of it yet.

    Everything but `abort` happens on the event loop that started it.
    """

    def __init__(self, steps: AsyncSteps, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.id = 0
        self._steps = steps
        self._news: deque[_News] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, news: _News) -> None:
        """What the engine says of it; None: nothing more, since it was taken out."""
        self._news.append(news)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next_update(self) -> _native.RequestUpdate | None:
        """The oldest that was not taken, for one waiting reader; None at an end without result."""
        while not self._news:
            self._waiter = self.loop.create_future()
            await self._waiter
        news = self._news.popleft()
        if isinstance(news, PyslmError):
            raise news
        return news

    async def all_updates(self) -> list[_native.RequestUpdate]:
        """To the end of the request; being cancelled takes it out."""
        updates: list[_native.RequestUpdate] = []
        try:
            while not updates or updates[-1].finish is None:
                if (update := await self.next_update()) is None:
                    raise EngineError("the request was taken out of the engine")
                updates.append(update)
        finally:
            self.abort()
        return updates

    def abort(self) -> None:
        """Takes it out of the engine, unless it is finished. Never waits for a step."""
        self._steps.abort(self.id)


class AsyncSteps:
    """The stepping thread of one engine, and its requests."""

    def __init__(self, steps: StepLoop) -> None:
        self._steps = steps
        self._changed = threading.Condition()
        self._running: dict[int, Running] = {}  # under `_changed`
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self, ask: Callable[[_native.Engine], int]) -> Running:
        """Queues a request for the running event loop with `ask`, which gives its id."""
        running = Running(self, asyncio.get_running_loop())
        with self._changed:  # the first step may end before we know the id
            if self._closing:
                raise EngineError("the model is closed; make a new LLM to go on")
            running.id = ask(self._steps.engine)
            self._running[running.id] = running
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pyslm-steps", daemon=True)
                self._thread.start()
            self._changed.notify()
        return running

    def abort(self, request_id: int) -> None:
        """Takes a request out, within a step. Never waits for one."""
        with self._changed:
            known = self._running.pop(request_id, None)
        if known is not None:
            self._steps.abort(request_id)

    def close(self) -> None:
        """Ends the thread after the step in progress; requests that run fail with EngineError."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        # A garbage collector may be the caller, on any thread.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._running or self._closing)
                if self._closing:
                    break
            try:
                engine = self._steps.engine
                news = engine.poll_many(self._ids())  # of steps that others ran
                if not news:
                    self._steps.step_or_wait()
                    news = engine.poll_many(self._ids())  # some came just before the step
                self._hand_over(news)
            except Exception as error:
                self._fail(self._ids(), error)
        self._fail(self._ids(), EngineError("the model was closed"))

    def _ids(self) -> list[int]:
        with self._changed:
            return list(self._running)

    def _hand_over(self, news: list[_native.RequestUpdate]) -> None:
        by_loop: defaultdict[asyncio.AbstractEventLoop, list[_Delivery]] = defaultdict(list)
        with self._changed:
            for update in news:
                running = self._running.get(update.id)
                if running is None:  # aborted since
                    continue
                by_loop[running.loop].append((running, update))
                if update.finish is not None:
                    del self._running[update.id]
        for loop, deliveries in by_loop.items():
            if not _tell(loop, deliveries):
                for running, _ in deliveries:
                    running.abort()

    def _fail(self, ids: list[int], cause: Exception) -> None:
        """No request can be trusted after a step that failed."""
        for request_id in ids:
            with self._changed:
                running = self._running.get(request_id)
            self.abort(request_id)
            if running is not None:
                _tell(running.loop, [(running, _error_of_its_own(cause))])


_News: TypeAlias = "_native.RequestUpdate | PyslmError | None"
_Delivery = tuple[Running, _News]


def _error_of_its_own(cause: Exception) -> PyslmError:
    """For one of several waiters: whoever raises an error writes its traceback into it."""
    if isinstance(cause, PyslmError):
        return copy.copy(cause)
    error = EngineError(str(cause) or type(cause).__name__)
    error.__cause__ = cause
    return error


def _deliver(deliveries: list[_Delivery]) -> None:
    for running, news in deliveries:
        running.put(news)


def _tell(loop: asyncio.AbstractEventLoop, deliveries: list[_Delivery]) -> bool:
    """False where the event loop is closed: nobody will read."""
    try:
        loop.call_soon_threadsafe(_deliver, deliveries)
    except RuntimeError:
        return False
    return True
