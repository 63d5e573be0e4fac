"""What turns a choice's text into content, thoughts and calls."""

from __future__ import annotations

from typing import Protocol

from pyslm.serve.protocol.event import ContentDelta, Event

__all__ = ["AnswerParser", "PlainText"]


class AnswerParser(Protocol):
    """Incremental: the events of all pieces together do not depend on how the text is cut."""

    num_calls: int
    num_reasoning_tokens: int

    def push(self, text: str, token_ids: tuple[int, ...]) -> list[Event]:
        """The events of the next piece."""
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

    def push(self, text: str, token_ids: tuple[int, ...]) -> list[Event]:  # noqa: ARG002
        return [ContentDelta(self._choice, text)] if text else []

    def finish(self) -> list[Event]:
        return []
