"""What a chat request offers the model to call, and what the answer must look like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from pyslm.serve.openai.sampling import Strict
from pyslm.serve.protocol import ServeError, ToolChoice

__all__ = [
    "Function",
    "FunctionName",
    "NamedTool",
    "ResponseFormat",
    "Tool",
    "ToolChoiceField",
    "tool_choice",
]

_Name = Annotated[str, Field(min_length=1, max_length=128)]


class Function(Strict):
    """What can be called."""

    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: StrictBool | None = None


class Tool(Strict):
    """A function, which is the one kind of tool there is."""

    type: Literal["function"]
    function: Function


class FunctionName(Strict):
    """A function by its name."""

    name: _Name


class NamedTool(Strict):
    """Exactly this tool."""

    type: Literal["function"]
    function: FunctionName


class AllowedTools(Strict):
    """Some of the tools."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class AllowedToolsChoice(Strict):
    """OpenAI's `allowed_tools`."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


ToolChoiceField = Literal["none", "auto", "required"] | NamedTool | AllowedToolsChoice


class JsonSchema(Strict):
    """A schema that the answer must be valid under. It is enforced, `strict` or not."""

    name: _Name = "schema"
    description: str | None = None
    schema_: Annotated[dict[str, Any] | StrictBool | None, Field(alias="schema")] = None
    strict: StrictBool | None = None


class ResponseFormat(Strict):
    """Text, a JSON object, or JSON under a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    """llama.cpp's, with "json_object"."""

    def params(self) -> dict[str, Any]:
        """Arguments of `SamplingParams`."""
        if self.type == "text":
            return {}
        if self.type == "json_object":
            return {"json_object": True} if self.schema_ is None else {"json_schema": self.schema_}
        if self.json_schema is None:
            raise ServeError(
                "invalid_request",
                "response_format: type 'json_schema' needs json_schema with a schema",
                param="response_format.json_schema",
            )
        schema = self.json_schema.schema_
        return {"json_object": True} if schema is None else {"json_schema": schema}


def tool_choice(choice: ToolChoiceField | None, names: list[str]) -> ToolChoice:
    """Checked against the tools that there are."""
    if isinstance(choice, NamedTool):
        found = ToolChoice("required", (choice.function.name,))
    elif isinstance(choice, AllowedToolsChoice):
        allowed = choice.allowed_tools
        found = ToolChoice(allowed.mode, tuple(tool.function.name for tool in allowed.tools))
    elif choice is None:
        return ToolChoice("auto" if names else "none")
    else:
        found = ToolChoice(choice)
    if found.mode == "required" and not names:
        raise ServeError(
            "invalid_request",
            "tool_choice asks for a call, but there are no tools",
            param="tool_choice",
        )
    unknown = [name for name in found.names or () if name not in names]
    if unknown:
        raise ServeError(
            "invalid_request",
            f"tool_choice names {unknown[0]!r}; the tools are: {', '.join(names) or 'none'}",
            param="tool_choice",
        )
    return found
