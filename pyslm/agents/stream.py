"""`AgentStream`: one request as it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from pyslm.agents.events import AgentEvent, AgentResult, Done, TextDelta
from pyslm.agents.portal import portal
from pyslm.errors import EngineError

__all__ = ["AgentStream"]


class AgentStream:
    """The texts of one request as they come; `events` gives all that happens.

    The request starts when the first piece is asked for; leaving the loop ends it.
    """

    def __init__(self, start: Callable[[Callable[[AgentEvent], None]], Any]) -> None:
        self._start = start
        self._result: AgentResult | None = None

    @property
    def result(self) -> AgentResult:
        """What was done, once the stream has ended; an EngineError before."""
        if self._result is None:
            raise EngineError("the stream has not ended; its result comes with the last piece")
        return self._result

    def __iter__(self) -> Iterator[str]:
        for event in portal().items(self._start):
            yield from self._texts(event)

    async def __aiter__(self) -> AsyncIterator[str]:
        async for event in self.events():
            for text in self._texts(event):
                yield text

    async def events(self) -> AsyncIterator[AgentEvent]:
        """All events; the last one is `Done`."""
        come: asyncio.Queue[AgentEvent | None] = asyncio.Queue()
        task = asyncio.ensure_future(self._start(come.put_nowait))
        task.add_done_callback(lambda _: come.put_nowait(None))
        try:
            while (event := await come.get()) is not None:
                if isinstance(event, Done):
                    self._result = event.result
                yield event
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _texts(self, event: AgentEvent) -> Iterator[str]:
        if isinstance(event, Done):
            self._result = event.result
        elif isinstance(event, TextDelta):
            yield event.text
