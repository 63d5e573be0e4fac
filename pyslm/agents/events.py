"""What an agent tells while it works, and what it has done in the end."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias

from pyslm.agents.models.model import Call
from pyslm.agents.toolbox import ToolResult
from pyslm.request import Usage

__all__ = [
    "AgentEvent",
    "AgentResult",
    "Done",
    "EndReason",
    "TextDelta",
    "ThoughtDelta",
    "ToolFinished",
    "ToolStarted",
]

EndReason = Literal["stop", "length", "max_steps", "loop", "refused", "handoff"]


@dataclasses.dataclass(frozen=True, slots=True)
class TextDelta:
    """More of what the model says; also of what it says before it calls tools."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class ThoughtDelta:
    """More of what it thinks."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class ToolStarted:
    """The model wants this to be run."""

    call: Call


@dataclasses.dataclass(frozen=True, slots=True)
class ToolFinished:
    """How a call ended."""

    result: ToolResult


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgentResult:
    """A request that is done."""

    text: str
    """The model's last reply."""
    data: Any = None
    """With `response_format`: the reply as it was asked for."""
    finish_reason: EndReason = "stop"
    """length: cut off by `max_tokens`; max_steps, loop: the agent was made to answer; refused: a
    filter did not let the request through; handoff: another agent shall go on."""
    messages: tuple[dict[str, Any], ...] = ()
    """What this request has added to the conversation, the user's message first."""
    tool_results: tuple[ToolResult, ...] = ()
    steps: int = 0
    """Replies of the model."""
    usage: Usage = dataclasses.field(default_factory=lambda: Usage(0, 0))
    """Of all steps together."""
    seconds: float = 0.0
    model: str = ""
    agent: str = ""

    def __str__(self) -> str:
        return self.text

    def record(self) -> dict[str, Any]:
        """What was asked of the model and of the tools, and what came of it, for JSON."""
        return {
            "agent": self.agent,
            "model": self.model,
            "text": self.text,
            "finish_reason": self.finish_reason,
            "steps": self.steps,
            "seconds": self.seconds,
            "usage": dataclasses.asdict(self.usage),
            "tools": [
                {
                    "name": each.call.name,
                    "arguments": each.call.arguments,
                    "outcome": each.outcome,
                    "content": each.content,
                    "seconds": each.seconds,
                }
                for each in self.tool_results
            ],
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """The last event."""

    result: AgentResult


AgentEvent: TypeAlias = TextDelta | ThoughtDelta | ToolStarted | ToolFinished | Done
