"""The framework's messages and tools in OpenAI's shape, which our templates take."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent_framework import Content, FunctionTool, Message
from agent_framework.exceptions import ChatClientInvalidRequestException

from pyslm.agents.schemas import for_models

__all__ = ["conversation", "described_tools"]

_NOT_SAID = ("usage", "error", "function_approval_request", "function_approval_response")
"""Contents that are not for the model."""


def conversation(messages: Sequence[Message], instructions: str | None) -> list[dict[str, Any]]:
    """The turns, in OpenAI's shape; a message with several results becomes several turns.

    Raises:
        ChatClientInvalidRequestException: a content that our models cannot take, such as a picture.
    """
    turns: list[dict[str, Any]] = []
    if instructions:
        turns.append({"role": "system", "content": instructions})
    for message in messages:
        turns += _turns(message)
    return turns


def described_tools(tools: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Tools in OpenAI's shape.

    Raises:
        ChatClientInvalidRequestException: a tool that only a cloud service has.
    """
    found: list[Mapping[str, Any]] = []
    for tool in tools:
        if isinstance(tool, FunctionTool):
            found.append(_closed(tool.to_json_schema_spec()))
        elif isinstance(tool, Mapping) and tool.get("type") == "function":
            found.append(_closed(tool))
        else:
            raise ChatClientInvalidRequestException(
                f"a tool is {tool!r:.100}; allowed: functions: there is no service here that has "
                "tools of its own"
            )
    return found


def _closed(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Schemas as pydantic writes them leave objects open, and small models add to them for ever."""
    copied = copy.deepcopy(dict(tool))
    function = copied.get("function")
    if isinstance(function, dict) and isinstance(function.get("parameters"), dict):
        for_models(function["parameters"])
    return copied


def _turns(message: Message) -> list[dict[str, Any]]:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for content in message.contents:
        match content.type:
            case "text":
                texts.append(content.text or "")
            case "text_reasoning":
                thoughts.append(content.text or "")
            case "function_call":
                calls.append(_call(content))
            case "function_result":
                results.append(_result(content))
            case kind if kind in _NOT_SAID:
                pass
            case kind:
                raise ChatClientInvalidRequestException(
                    f"a message of the {message.role} holds {kind}; allowed: text, calls of "
                    "functions and their results"
                )
    if results and not (texts or calls):
        return results
    turn: dict[str, Any] = {"role": str(message.role), "content": "\n".join(texts)}
    if message.author_name:
        turn["name"] = re.sub(r"[^A-Za-z0-9_-]", "_", message.author_name)[:64]
    if calls:
        turn["tool_calls"] = calls
    if thoughts:
        turn["reasoning_content"] = "\n".join(thoughts)
    return [turn, *results]


def _call(content: Content) -> dict[str, Any]:
    given = content.arguments
    arguments = given if isinstance(given, str) else json.dumps(given or {}, default=str)
    return {
        "id": content.call_id,
        "type": "function",
        "function": {"name": content.name, "arguments": arguments or "{}"},
    }


def _result(content: Content) -> dict[str, Any]:
    items = content.items or ()
    others = [item.type for item in items if item.type != "text"]
    if others:
        raise ChatClientInvalidRequestException(
            f"the result of a function holds {others[0]}; allowed: text"
        )
    result = content.result
    text = result if isinstance(result, str) else json.dumps(result, default=str)
    if content.exception and not result:
        text = f"Error: {content.exception}"
    return {"role": "tool", "tool_call_id": content.call_id, "content": text}
