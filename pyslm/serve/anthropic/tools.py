"""What a request offers the model to call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from pyslm.serve.openai.sampling import Strict
from pyslm.serve.protocol import ServeError, ToolChoice
from pyslm.serve.protocol.number import Off

__all__ = ["Tool", "ToolChoiceField", "offered_tools", "tool_choice"]

_Name = Annotated[str, Field(min_length=1, max_length=128)]


class Tool(Strict):
    """A tool that the client runs. Anthropic's own, which have other types, are not known here."""

    type: Literal["custom"] | None = None
    name: _Name
    description: str | None = None
    input_schema: dict[str, Any]
    strict: StrictBool | None = None
    input_examples: list[dict[str, Any]] | None = None
    cache_control: dict[str, Any] | None = None
    eager_input_streaming: StrictBool | None = None
    defer_loading: Off | None = None
    allowed_callers: list[Literal["direct"]] | None = None

    def function(self) -> dict[str, Any]:
        """In OpenAI's shape."""
        found: dict[str, Any] = {"name": self.name, "parameters": self.input_schema}
        examples = [json.dumps(each, ensure_ascii=False) for each in self.input_examples or ()]
        told = [self.description, *(f"Example of its input: {each}" for each in examples)]
        if any(told):
            found["description"] = "\n".join(text for text in told if text)
        if self.strict is not None:
            found["strict"] = self.strict
        return {"type": "function", "function": found}


class ToolChoiceField(Strict):
    """Whether the model may or must call tools."""

    type: Literal["auto", "any", "tool", "none"]
    name: _Name | None = None
    disable_parallel_tool_use: StrictBool | None = None


def tool_choice(choice: ToolChoiceField | None, tools: Sequence[Tool]) -> ToolChoice:
    """Checked against the tools that there are.

    Raises:
        ServeError: it asks for a tool that is not there.
    """
    names = [tool.name for tool in tools]
    if len(set(names)) != len(names):
        raise ServeError("invalid_request", "tools: two have the same name", param="tools")
    if choice is None:
        return ToolChoice("auto" if names else "none")
    if choice.type in ("any", "tool") and not names:
        raise ServeError(
            "invalid_request",
            "tool_choice asks for a call, but there are no tools",
            param="tool_choice",
        )
    if choice.type != "tool":
        return ToolChoice("required" if choice.type == "any" else choice.type)
    if choice.name not in names:
        raise ServeError(
            "invalid_request",
            f"tool_choice.name is {choice.name!r}; the tools are: {', '.join(names)}",
            param="tool_choice.name",
        )
    return ToolChoice("required", (choice.name,))


def offered_tools(tools: Sequence[Tool], choice: ToolChoice) -> list[dict[str, Any]]:
    """Those that the prompt tells of, in OpenAI's shape."""
    if choice.mode == "none":
        return []
    return [t.function() for t in tools if choice.names is None or t.name in choice.names]
