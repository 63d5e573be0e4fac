"""How nano's conversations are written out: the chat template, and the same in Python.

Training writes millions of them, which the template's sandbox is too slow for; a test holds the two
against each other.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "CONTROL",
    "END",
    "NAME",
    "PAD",
    "Piece",
    "chat_template",
    "write_messages",
    "write_prefix",
]

END = "<|end|>"
NAME = "<|name|>"
PAD = "<|pad|>"
CONTROL = (
    PAD, END, "<|system|>", "<|tool|>", NAME, "<|user|>", "<|assistant|>", "<|result|>",
    "<tool_call>", "</tool_call>",
)  # fmt: skip
"""The control tokens, which have the first ids."""


class Piece(NamedTuple):
    """Some text, or one control token."""

    text: str
    is_control: bool
    by_model: bool
    """The model is to write it."""


@functools.cache
def chat_template() -> str:
    """The Jinja source that goes into the GGUF file."""
    return (Path(__file__).parent / "nano.jinja").read_text(encoding="utf-8").rstrip("\n")


def write_prefix(system: str | None, tools: tuple[dict[str, Any], ...]) -> Iterator[Piece]:
    """What all conversations of a scene begin with."""
    if system is not None:
        yield Piece("<|system|>", True, False)
        yield Piece(system, False, False)
    for tool in tools:
        yield Piece("<|tool|>", True, False)
        yield Piece(_tool_text(tool["function"]), False, False)
        # The name comes last: what stands before it is known where it is read, and it is the name
        # that a call begins with.
        yield Piece(NAME, True, False)
        yield Piece(tool["function"]["name"], False, False)


def write_messages(messages: tuple[dict[str, Any], ...]) -> Iterator[Piece]:
    """The turns of one conversation, without system prompts."""
    for message in messages:
        match message["role"]:
            case "assistant":
                yield from _assistant(message)
            case "tool":
                yield Piece("<|result|>", True, False)
                yield Piece(message["content"], False, False)
            case "user":
                yield Piece("<|user|>", True, False)
                yield Piece(message["content"], False, False)


def _assistant(message: Mapping[str, Any]) -> Iterator[Piece]:
    yield Piece("<|assistant|>", True, False)
    if message.get("content"):
        yield Piece(message["content"], False, True)
    for i, call in enumerate(message.get("tool_calls") or ()):
        if i:
            yield Piece("\n", False, True)
        yield Piece("<tool_call>", True, True)
        function = call["function"]
        name, arguments = _json(function["name"]), _json(function["arguments"])
        yield Piece(f'\n{{"name": {name}, "arguments": {arguments}}}\n', False, True)
        yield Piece("</tool_call>", True, True)
    yield Piece(END, True, True)


def _tool_text(function: Mapping[str, Any]) -> str:
    lines = [function.get("description") or ""]
    parameters = function.get("parameters") or {}
    required = parameters.get("required") or ()
    for key, schema in (parameters.get("properties") or {}).items():
        line = f"{key}{'' if key in required else '?'}: {_kind(schema)}"
        if "default" in schema:
            line += f" = {_json(schema['default'])}"
        if schema.get("description"):
            line += f" - {schema['description']}"
        lines.append(line)
    return "\n".join(lines)


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return f"[{_kind(schema['items'])}]"
    members = schema.get("properties")
    if kind == "object" and isinstance(members, Mapping) and members:
        required = schema.get("required") or ()
        parts = (f"{k}{'' if k in required else '?'}: {_kind(s)}" for k, s in members.items())
        return f"{{{', '.join(parts)}}}"
    if isinstance(schema.get("format"), str):
        return str(schema["format"])
    return kind if isinstance(kind, str) else _json(schema)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
