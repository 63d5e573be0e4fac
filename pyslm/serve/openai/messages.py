"""The conversation of a chat request, as the chat templates read it."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pyslm.serve.protocol import ServeError

__all__ = ["Message", "plain_messages"]


class Part(BaseModel):
    """A piece of a content."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str | None = None
    refusal: str | None = None


class CalledFunction(BaseModel):
    """A function and the arguments that the model called it with."""

    model_config = ConfigDict(extra="allow")

    name: str
    arguments: str | dict[str, Any] = "{}"


class Call(BaseModel):
    """One call of an assistant's turn."""

    model_config = ConfigDict(extra="allow")

    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(BaseModel):
    """One turn."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[dict[str, Any]] | None = None


def plain_messages(messages: list[Message]) -> list[dict[str, Any]]:
    """The turns with text as content, and `functions` of old as tools.

    Raises:
        ServeError: a turn holds something other than text, or answers a call that nobody made.
    """
    plain = [_plain(message, i) for i, message in enumerate(messages)]
    _name_results(plain)
    return plain


def _plain(message: Message, position: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "role": "tool" if message.role == "function" else message.role,
        "content": _text(message, f"messages.{position}.content"),
    }
    if message.name is not None:
        found["name"] = message.name
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    calls = list(message.tool_calls or ())
    if message.function_call is not None:
        calls.append(Call(id=f"call_{position}", function=message.function_call))
    if calls:
        found["tool_calls"] = [_plain_call(call, position, i) for i, call in enumerate(calls)]
    thoughts = message.reasoning_content or message.reasoning or _details(message)
    if thoughts and message.role == "assistant":
        found["reasoning_content"] = thoughts
    return found


def _plain_call(call: Call, position: int, index: int) -> dict[str, Any]:
    arguments = call.function.arguments
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {
        "id": call.id or f"call_{position}_{index}",
        "type": "function",
        "function": {"name": call.function.name, "arguments": written},
    }


def _text(message: Message, where: str) -> str:
    content = message.content
    if content is None:
        return message.refusal or ""
    if isinstance(content, str):
        return content
    texts = []
    for i, part in enumerate(content):
        text = part.text if part.type != "refusal" else part.refusal
        if part.type not in ("text", "refusal", "input_text", "output_text") or text is None:
            raise ServeError(
                "not_supported",
                f"{where}.{i}: content of type {part.type[:40]!r}; this server reads text only",
                param=f"{where}.{i}",
            )
        texts.append(text)
    return "".join(texts)


def _details(message: Message) -> str:
    details = message.reasoning_details or []
    return "".join(item["text"] for item in details if isinstance(item.get("text"), str))


def _name_results(messages: list[dict[str, Any]]) -> None:
    """Templates want the name of the function that a result is of; OpenAI gives the call's id."""
    names: dict[str, str] = {}
    last = ""
    for message in messages:
        for call in message.get("tool_calls", ()):
            last = names[call["id"]] = call["function"]["name"]
        if message["role"] == "tool" and "name" not in message:
            found = names.get(message.get("tool_call_id", ""), last)
            if found:
                message["name"] = found
