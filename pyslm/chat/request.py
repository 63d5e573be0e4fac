"""A conversation that a model shall go on with, and what it may answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pyslm.chat.tools import Tool, tools_of
from pyslm.request import SamplingParams

__all__ = ["ChatRequest", "ReasoningOptions", "ToolChoice"]


@dataclasses.dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may or must call tools, and which."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] | None = None
    """Only these tools; None: all. "required" with one name is OpenAI's named choice."""


@dataclasses.dataclass(frozen=True, slots=True)
class ReasoningOptions:
    """How the model thinks before it answers, where it can."""

    enabled: bool | None = None
    """None: as the model's template does by itself."""
    effort: str | None = None
    """"low", "medium", ...: handed to templates that read it."""
    separate: bool = True
    """Report thoughts apart; False: leave them in the content, as written."""
    include: bool = True
    """False: think, but leave the thoughts out of the answer."""

    def template_names(self) -> dict[str, Any]:
        """The names by which templates know it."""
        names: dict[str, Any] = {}
        if self.enabled is not None:
            names |= {"enable_thinking": self.enabled, "thinking": self.enabled}
        if self.effort is not None:
            names["reasoning_effort"] = self.effort
        return names


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What `ChatFormat` plans."""

    messages: Sequence[Mapping[str, Any]]
    """In OpenAI's shape: role, content (text, or list of parts), tool_calls with arguments as JSON
    text or object, tool_call_id, name, reasoning_content."""
    sampling: SamplingParams
    """Also the grammar of the answer (json_schema, ...), which holds for the content: not for
    thoughts, and not for tool calls where the model makes them."""
    tools: Sequence[Mapping[str, Any]] | None = None
    """In OpenAI's shape: {"type": "function", "function": {name, description, parameters}}."""
    tool_choice: ToolChoice = dataclasses.field(default_factory=ToolChoice)
    parallel_tool_calls: bool = True
    """False: at most one call."""
    tool_parser: str | None = None
    """Name of the tool-call format, in place of the one that the template shows."""
    reasoning: ReasoningOptions = dataclasses.field(default_factory=ReasoningOptions)

    def offered(self) -> dict[str, Tool]:
        """The tools that it may call, by name.

        Raises:
            InvalidRequestError: one is malformed, or two have the same name.
        """
        choice = self.tool_choice
        if choice.mode == "none" or not self.tools:
            return {}
        tools = tools_of(self.tools)
        return tools if choice.names is None else {name: tools[name] for name in choice.names}
