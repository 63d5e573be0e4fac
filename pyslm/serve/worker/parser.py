"""What turns a choice's bytes and tokens into content, thoughts and calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from pyslm.chat import events as chat
from pyslm.chat.output import OutputParser
from pyslm.serve.protocol.event import (
    ContentDelta,
    Event,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallStart,
)
from pyslm.stream import Utf8Joiner
from pyslm.tokenizer import Tokenizer

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
    """An `OutputParser`, fed with text and with those control tokens that are markers.

    Control tokens have no bytes; where they stood is told by how many bytes came before them. The
    engine holds bytes back while a stop string may be forming, and drops them when it has formed:
    a marker counts only once all bytes before it have come.
    """

    def __init__(
        self,
        choice: int,
        parser: OutputParser,
        markers: Mapping[int, str],
        tokenizer: Tokenizer,
        *,
        include_reasoning: bool = True,
    ) -> None:
        self.num_calls = 0
        self.num_reasoning_tokens = 0
        self._choice = choice
        self._parser = parser
        self._markers = markers
        self._tokenizer = tokenizer
        self._include_reasoning = include_reasoning
        self._joiner = Utf8Joiner()
        self._num_written = 0  # bytes of the tokens so far
        self._num_come = 0  # of these, released by the engine
        self._waiting: deque[tuple[int, str]] = deque()  # (bytes before it, marker)

    def push(self, text: str, raw: bytes, token_ids: Sequence[int]) -> list[Event]:  # noqa: ARG002
        if self._markers:
            self._note_markers(token_ids)
        found: list[chat.Event] = []
        begin, end = self._num_come, self._num_come + len(raw)
        while self._waiting and self._waiting[0][0] <= end:
            position, marker = self._waiting.popleft()
            found += self._feed(raw[self._num_come - begin : position - begin])
            found += self._parser.feed(self._joiner.finish())
            found += self._parser.feed(marker, special=True)
            self._num_come = position
        found += self._feed(raw[self._num_come - begin :])
        self._num_come = end
        events = self._told(found)
        if any(isinstance(event, chat.ReasoningDelta) for event in found):
            self.num_reasoning_tokens += len(token_ids)
        return events

    def finish(self) -> list[Event]:
        found = self._parser.feed(self._joiner.finish())
        return self._told(found + self._parser.finish())

    def _feed(self, raw: bytes) -> list[chat.Event]:
        text = self._joiner.push(raw)
        return self._parser.feed(text) if text else []

    def _note_markers(self, token_ids: Sequence[int]) -> None:
        for token in token_ids:
            marker = self._markers.get(token)
            if marker is not None:
                self._waiting.append((self._num_written, marker))
            else:
                self._num_written += len(self._tokenizer.token_bytes(token))

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
