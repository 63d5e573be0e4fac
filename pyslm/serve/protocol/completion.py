"""A stream's events put together, for clients that want the whole answer at once."""

from __future__ import annotations

import dataclasses

from pyslm.serve.protocol.dispatcher import EventStream
from pyslm.serve.protocol.event import (
    ContentDelta,
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TokenEntry,
    TokensDelta,
    ToolCallArguments,
    ToolCallStart,
)

__all__ = ["Choice", "Completion", "ToolCall", "collect"]


@dataclasses.dataclass(slots=True)
class ToolCall:
    """One whole call."""

    id: str
    name: str
    arguments: str = ""
    """The text of a JSON object."""


@dataclasses.dataclass(slots=True)
class Choice:
    """One whole answer."""

    content: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = dataclasses.field(default_factory=list)
    tokens: list[TokenEntry] = dataclasses.field(default_factory=list)
    """With `logprobs` or `return_token_ids`."""
    finished: Finished | None = None


@dataclasses.dataclass(slots=True)
class Completion:
    """All choices of a request."""

    choices: list[Choice]
    started: Started | None = None

    def add(self, event: Event) -> None:
        """Takes the next event of the stream."""
        if isinstance(event, Started):
            self.started = event
            return
        choice = self.choices[event.choice]
        if isinstance(event, ContentDelta):
            choice.content += event.text
        elif isinstance(event, ReasoningDelta):
            choice.reasoning += event.text
        elif isinstance(event, ToolCallStart):
            choice.tool_calls.append(ToolCall(event.id, event.name))
        elif isinstance(event, ToolCallArguments):
            choice.tool_calls[event.call].arguments += event.text
        elif isinstance(event, TokensDelta):
            choice.tokens += event.tokens
        else:
            choice.finished = event

    @property
    def prompt_tokens(self) -> int:
        """Of the request, however many choices."""
        return self.started.prompt_tokens if self.started else 0

    @property
    def completion_tokens(self) -> int:
        """Of all choices together."""
        return sum(c.finished.completion_tokens for c in self.choices if c.finished)

    @property
    def reasoning_tokens(self) -> int:
        """Of all choices together."""
        return sum(c.finished.reasoning_tokens for c in self.choices if c.finished)

    @property
    def cached_tokens(self) -> int:
        """Of the prompt; the first choice's, since the others find it in the cache anyway."""
        first = self.choices[0].finished
        return first.cached_tokens if first else 0


async def collect(stream: EventStream, num_choices: int = 1) -> Completion:
    """Runs a stream to its end.

    Raises:
        ServeError: the request failed under way.
    """
    completion = Completion([Choice() for _ in range(num_choices)])
    try:
        async for event in stream:
            completion.add(event)
    finally:
        await stream.aclose()
    return completion
