"""What an OpenAI-compatible server streams: chat.completion.chunk objects, as events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pyslm.agents.models.model import Finished, ModelEvent
from pyslm.chat.events import ContentDelta, ReasoningDelta, ToolCallArguments, ToolCallStart
from pyslm.errors import ModelCallError
from pyslm.request import Usage

__all__ = ["CHOICE", "ChunkReader", "reason_of"]

CHOICE = "choice"
"""The property that holds a choice among texts, which servers make as a JSON object."""


class ChunkReader:
    """Makes events of one stream of chat.completion.chunk objects."""

    def __init__(self, unwrap_choice: bool) -> None:
        """
        Args:
            unwrap_choice: the reply is an object {CHOICE: text}, of which the text is told.
        """
        self._unwrap_choice = unwrap_choice
        self._held = ""
        self._reason = ""
        self._usage = Usage(0, 0)
        self._ids: dict[int, str] = {}

    async def read(self, lines: AsyncIterator[str]) -> AsyncIterator[ModelEvent]:
        """The events of the lines of a server-sent stream; the last one is `Finished`.

        Raises:
            ModelCallError: the server says that it failed, breaks off, or sends something else.
        """
        async for line in lines:
            if not line.startswith("data:"):
                continue
            data = line[5:].strip()
            if data == "[DONE]":
                break
            for event in self._chunk(_parsed(data)):
                yield event
        if not self._reason:
            raise ModelCallError("the reply of the server ended before it was complete")
        if self._unwrap_choice:
            yield ContentDelta(_unwrapped(self._held))
        yield Finished(self._reason, self._usage)

    def _chunk(self, chunk: Mapping[str, Any]) -> list[ModelEvent]:
        if chunk.get("error"):
            raise ModelCallError(f"the server failed: {reason_of(json.dumps(chunk))}")
        usage = chunk.get("usage")
        if usage:
            details = usage.get("prompt_tokens_details") or {}
            self._usage = Usage(
                usage.get("prompt_tokens") or 0,
                usage.get("completion_tokens") or 0,
                details.get("cached_tokens") or 0,
            )
        events: list[ModelEvent] = []
        for choice in (chunk.get("choices") or [])[:1]:
            self._reason = choice.get("finish_reason") or self._reason
            events += self._delta(choice.get("delta") or {})
        return events

    def _delta(self, delta: Mapping[str, Any]) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        thoughts = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thoughts, str):
            events.append(ReasoningDelta(thoughts))
        content = delta.get("content")
        if content and self._unwrap_choice:
            self._held += content
        elif content:
            events.append(ContentDelta(content))
        for position, call in enumerate(delta.get("tool_calls") or ()):
            events += self._call(position, call)
        return events

    def _call(self, position: int, call: Mapping[str, Any]) -> list[ModelEvent]:
        ident, function = call.get("id"), call.get("function") or {}
        index = call.get("index")
        if not isinstance(index, int):  # some servers leave it out
            index = next((i for i, known in self._ids.items() if known == ident), len(self._ids))
            index = position if not ident else index
        events: list[ModelEvent] = []
        if index not in self._ids:
            self._ids[index] = ident or f"call_{index}"
            events.append(ToolCallStart(index, self._ids[index], str(function.get("name") or "")))
        arguments = function.get("arguments")
        if arguments and not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        return [*events, ToolCallArguments(index, arguments)] if arguments else events


def _parsed(data: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ModelCallError(f"the server's stream holds {data!r:.100}, which is no JSON object")
    return found


def _unwrapped(text: str) -> str:
    try:
        return str(json.loads(text)[CHOICE])
    except (ValueError, KeyError, TypeError):
        return text.strip()


def reason_of(text: str) -> str:
    """The message in a body of an error."""
    try:
        found = json.loads(text)
        found = found.get("error", found)
        found = found.get("message", found) if isinstance(found, dict) else found
        return str(found)[:500]
    except (ValueError, AttributeError):
        return text[:500] or "it does not say why"
