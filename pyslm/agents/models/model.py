"""What an agent asks of a model, and what it gets."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from pyslm.chat.events import (
    ContentDelta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from pyslm.chat.request import ToolChoice
from pyslm.request import Usage

__all__ = ["Call", "ChatModel", "Finished", "Message", "ModelEvent", "ModelRequest", "Reply"]

Message: TypeAlias = Mapping[str, Any]
"""One turn, in OpenAI's shape."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A conversation to go on with."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    """In OpenAI's shape."""
    tool_choice: ToolChoice = dataclasses.field(default_factory=ToolChoice)
    parallel_tool_calls: bool = True
    max_tokens: int = 512
    temperature: float = 0.1
    seed: int | None = None
    json_schema: Mapping[str, Any] | None = None
    """The answer is JSON under this schema."""
    choice: Sequence[str] | None = None
    """The answer is one of these texts."""
    thinking: bool | None = None
    """Whether a model that can think first does so; None: as it is used to."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """The reply is complete."""

    reason: str
    """stop, length, tool_calls, or whatever a server says."""
    usage: Usage


ModelEvent: TypeAlias = (
    ContentDelta | ReasoningDelta | ToolCallStart | ToolCallArguments | ToolCallEnd | Finished
)


class ChatModel(Protocol):
    """A model. Its methods may be called from several tasks and event loops at once."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def place(self) -> Literal["process", "machine", "network"]:
        """Where it runs: "network" means that what it is told leaves this machine."""
        ...

    @property
    def context_length(self) -> int | None:
        """Tokens of prompt and reply; None: not known."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """The reply as it comes; the last event is `Finished`.

        Raises:
            PyslmError: it cannot be asked, or fails.
        """
        ...

    async def count_tokens(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> int:
        """Tokens of a prompt; where the model cannot say, an estimate that is rather too high."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """What a model wants to be run."""

    id: str
    name: str
    arguments: str
    """JSON text of an object."""


class Reply:
    """A model's reply, put together from its events."""

    def __init__(self) -> None:
        self.text = ""
        self.thoughts = ""
        self.finish: Finished | None = None
        self._started: dict[int, tuple[str, str]] = {}
        self._arguments: dict[int, str] = {}

    def take(self, event: ModelEvent) -> None:
        """The next event."""
        match event:
            case ContentDelta(text):
                self.text += text
            case ReasoningDelta(text):
                self.thoughts += text
            case ToolCallStart(index, ident, name):
                self._started[index] = (ident or f"call_{index}", name)
                self._arguments.setdefault(index, "")
            case ToolCallArguments(index, text):
                self._arguments[index] = self._arguments.get(index, "") + text
            case Finished():
                self.finish = event
            case _:
                pass

    @property
    def calls(self) -> list[Call]:
        """Those that it makes, in their order."""
        return [self.call(index) for index in sorted(self._started)]

    def call(self, index: int) -> Call:
        """The call number `index`, as far as it has come."""
        return Call(*self._started[index], self._arguments[index])

    def message(self) -> dict[str, Any]:
        """For the conversation. Thoughts are left out: templates drop those of earlier turns."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self._started:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.calls
            ]
        return message

    @classmethod
    async def collect(cls, events: AsyncIterator[ModelEvent]) -> Reply:
        """The whole reply."""
        reply = cls()
        async for event in events:
            reply.take(event)
        return reply
