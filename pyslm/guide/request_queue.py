"""Requests that wait for an agent, those of high priority first."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import Any

from pyslm.guide.vllm_config import AgentRequest

__all__ = ["QueuedRequest", "RequestQueue"]

_RANKS = {"high": 0, "normal": 1, "low": 2}


@dataclasses.dataclass(order=True, slots=True)
class QueuedRequest:
    """Of one caller, who waits for `answer`."""

    rank: int
    number: int
    request: AgentRequest = dataclasses.field(compare=False)
    answer: asyncio.Future[dict[str, Any]] = dataclasses.field(compare=False)


class RequestQueue:
    """Bounded; first come, first served within a priority. For one event loop."""

    def __init__(self, max_size: int = 1000) -> None:
        self._queue: asyncio.PriorityQueue[QueuedRequest] = asyncio.PriorityQueue(max_size)
        self._numbers = itertools.count()

    def put(self, request: AgentRequest) -> asyncio.Future[dict[str, Any]]:
        """Its answer, in time.

        Raises:
            asyncio.QueueFull: too many wait already.
        """
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        rank = _RANKS[request.priority]
        self._queue.put_nowait(QueuedRequest(rank, next(self._numbers), request, answer))
        return answer

    async def get(self) -> QueuedRequest:
        """The next whose caller still waits."""
        while True:
            item = await self._queue.get()
            if not item.answer.done():
                return item

    def fail(self, error: Exception) -> None:
        """What all that wait get as their answer."""
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if not item.answer.done():
                item.answer.set_exception(error)

    def qsize(self) -> int:
        """Those that wait."""
        return self._queue.qsize()
