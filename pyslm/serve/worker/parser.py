"""What turns a choice's bytes and tokens into content, thoughts and calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pyslm.chat import events as chat
from pyslm.chat.engine_output import EngineOutput
from pyslm.serve.protocol.event import (
    ContentDelta,
    Event,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallStart,
)

__all__ = ["AnswerParser", "ChatParser", "PlainText"]


class AnswerParser(Protocol):
    """Incremental: the events of all pieces together do not depend on how the output is cut."""

    num_calls: int
    num_reasoning_tokens: int

    def push(self, text: str, raw: bytes, token_ids: Sequence[int]) -> list[Event]:
        """The events of the next piece: its text, and as bytes; and the tokens of the step, of
        which some bytes may come later."""
        ...

    def finish(self) -> list[Event]:
        """What was held back."""
        ...


class PlainText:
    """All is content."""

    num_calls = 0
    num_reasoning_tokens = 0

    def __init__(self, choice: int) -> None:
        self._choice = choice

    def push(self, text: str, raw: bytes, token_ids: Sequence[int]) -> list[Event]:  # noqa: ARG002
        return [ContentDelta(self._choice, text)] if text else []

    def finish(self) -> list[Event]:
        return []


class ChatParser:
    """An `EngineOutput`, whose events are told as those of a choice."""

    def __init__(
        self, choice: int, output: EngineOutput, *, include_reasoning: bool = True
    ) -> None:
        self.num_calls = 0
        self.num_reasoning_tokens = 0
        self._choice = choice
        self._output = output
        self._include_reasoning = include_reasoning

    def push(self, text: str, raw: bytes, token_ids: Sequence[int]) -> list[Event]:  # noqa: ARG002
        found = self._output.push(raw, token_ids)
        if any(isinstance(event, chat.ReasoningDelta) for event in found):
            self.num_reasoning_tokens += len(token_ids)
        return self._told(found)

    def finish(self) -> list[Event]:
        return self._told(self._output.finish())

    def _told(self, found: Sequence[chat.Event]) -> list[Event]:
        events: list[Event] = []
        for event in found:
            if isinstance(event, chat.ContentDelta):
                events.append(ContentDelta(self._choice, event.text))
            elif isinstance(event, chat.ReasoningDelta):
                if self._include_reasoning:
                    events.append(ReasoningDelta(self._choice, event.text))
            elif isinstance(event, chat.ToolCallStart):
                self.num_calls += 1
                events.append(ToolCallStart(self._choice, event.index, event.id, event.name))
            elif isinstance(event, chat.ToolCallArguments):
                events.append(ToolCallArguments(self._choice, event.index, event.text))
        return events
