"""One event loop on a thread of its own, for callers that have none, and for connections that
outlive the loops of those who use them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

__all__ = ["Portal", "portal"]

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    """Nothing more comes."""

    error: Exception | None


class Portal:
    """Runs coroutines for other threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.pid = os.getpid()
        threading.Thread(target=self._loop.run_forever, name="pyslm-agents", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Runs it to its end while this thread waits; Ctrl-C cancels it.

        Raises:
            RuntimeError: called on the portal's own thread, which would wait for itself.
        """
        if self._is_here():
            work.close()
            raise RuntimeError("await the async form here: this is the thread that would run it")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Runs it there; nobody waits."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Runs it there while this loop goes on; cancelling the caller cancels it."""
        if self._is_here():
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def iterate(self, items: AsyncIterator[_T]) -> AsyncIterator[_T]:
        """An iterator that runs there, read here; leaving it ends it."""
        if self._is_here():
            async for item in items:
                yield item
            return
        here = asyncio.get_running_loop()
        come: asyncio.Queue[_T | _End] = asyncio.Queue()

        def put(entry: _T | _End) -> None:
            with contextlib.suppress(RuntimeError):  # that loop has ended
                here.call_soon_threadsafe(come.put_nowait, entry)

        pump = asyncio.run_coroutine_threadsafe(_pump(items, put), self._loop)
        try:
            while True:
                entry = await come.get()
                if isinstance(entry, _End):
                    if entry.error is not None:
                        raise entry.error
                    return
                yield entry
        finally:
            pump.cancel()

    def items(
        self, start: Callable[[Callable[[_T], None]], Coroutine[Any, Any, None]]
    ) -> Iterator[_T]:
        """What `start(emit)` emits while it runs there, for a thread; leaving it cancels it."""
        come: queue.SimpleQueue[_T | _End] = queue.SimpleQueue()
        work = start(come.put)
        if self._is_here():
            work.close()
            raise RuntimeError("use `async for` here: this is the thread that would run it")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.add_done_callback(lambda _: come.put(_End(None)))
        try:
            while not isinstance(item := come.get(), _End):
                yield item
            future.result()
        finally:
            future.cancel()

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


async def _pump(items: AsyncIterator[_T], put: Callable[[_T | _End], None]) -> None:
    try:
        async for item in items:
            put(item)
        put(_End(None))
    except Exception as error:
        put(_End(error))
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


_portal: Portal | None = None
_lock = threading.Lock()


def portal() -> Portal:
    """That of this process; made at first use, and again in a process that was forked off."""
    global _portal
    with _lock:
        if _portal is None or _portal.pid != os.getpid():
            _portal = Portal()
        return _portal
