"""The streams of several prompts as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from pyslm.serve.protocol import Event, EventStream, Started

__all__ = ["MergedStream"]


class MergedStream:
    """An `EventStream` in which the choices of prompt p are p * n to p * n + n - 1.

    A `Started` is followed by the events of its prompt only after the one before it: the writer
    learns from their order which prompt they are of.
    """

    def __init__(self, streams: Sequence[EventStream], choices_per_prompt: int) -> None:
        self.load_seconds = max(stream.load_seconds for stream in streams)
        self._streams = streams
        self._choices = choices_per_prompt
        self._waiting: dict[asyncio.Task[list[Event]], int] = {}
        self._begun = False
        self._events: list[Event] = []

    def __aiter__(self) -> MergedStream:
        return self

    async def __anext__(self) -> Event:
        if not self._events:
            self._events = await self.batch()
        if not self._events:
            raise StopAsyncIteration
        return self._events.pop(0)

    async def batch(self) -> list[Event]:
        if len(self._streams) == 1:
            return await self._streams[0].batch()
        if not self._begun:
            self._begun = True
            # What has come by now begins with the `Started` of each, in the order of the prompts.
            return [e for p, s in enumerate(self._streams) for e in self._moved(p, await s.batch())]
        while True:
            if not self._waiting:
                self._wait_for(range(len(self._streams)))
            done, _ = await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
            events: list[Event] = []
            for task in done:
                prompt = self._waiting.pop(task)
                batch = task.result()
                if batch:
                    self._wait_for((prompt,))
                events += self._moved(prompt, batch)
            if events or not self._waiting:
                return events

    async def aclose(self) -> None:
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*(stream.aclose() for stream in self._streams))

    def _wait_for(self, prompts: Sequence[int]) -> None:
        for prompt in prompts:
            task = asyncio.ensure_future(self._streams[prompt].batch())
            self._waiting[task] = prompt

    def _moved(self, prompt: int, events: list[Event]) -> list[Event]:
        if prompt == 0:
            return events
        first = prompt * self._choices
        return [
            event
            if isinstance(event, Started)
            else msgspec.structs.replace(event, choice=event.choice + first)
            for event in events
        ]
