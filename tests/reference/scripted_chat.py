"""A model that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Literal

from pyslm.agents import ModelRequest
from pyslm.agents.models.model import Finished, Message, ModelEvent
from pyslm.chat.events import ContentDelta, ToolCallArguments, ToolCallStart
from pyslm.request import Usage

Said = str | list[tuple[str, Any]]
"""A text, or calls: (name of the tool, arguments; as text they are taken as they are)."""


class ScriptedModel:
    """Replies in the order given, the last one for ever; or what a function makes of a request."""

    def __init__(
        self,
        *replies: Said | Exception,
        by: Callable[[ModelRequest], Said] | None = None,
        name: str = "scripted",
        place: Literal["process", "machine", "network"] = "process",
        context_length: int | None = None,
        delay: float = 0.0,
    ) -> None:
        self.name = name
        self.place = place
        self.context_length = context_length
        self.asked: list[ModelRequest] = []
        self._replies = list(replies)
        self._by = by
        self._delay = delay

    def _next(self, request: ModelRequest) -> Said | Exception:
        if self._by is not None:
            return self._by(request)
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.asked.append(request)
        said = self._next(request)
        if self._delay:
            await asyncio.sleep(self._delay)
        if isinstance(said, Exception):
            raise said
        if isinstance(said, str):
            for word in said.split(" "):
                yield ContentDelta(word if word == said.split(" ")[0] else f" {word}")
            yield Finished("stop", Usage(len(request.messages), 1))
            return
        for index, (name, arguments) in enumerate(said):
            yield ToolCallStart(index, f"call_{len(self.asked)}_{index}", name)
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            yield ToolCallArguments(index, text)
        yield Finished("tool_calls", Usage(len(request.messages), 1))

    async def count_tokens(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> int:
        """One token a word."""
        return sum(len(json.dumps(each).split()) for each in (*messages, *tools))

    def results(self, turn: int = -1) -> list[str]:
        """What the tools gave, as the model was told at its n-th turn."""
        return [m["content"] for m in self.asked[turn].messages if m["role"] == "tool"]
