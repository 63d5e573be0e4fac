"""How nano's conversations are written out: the chat template, and the same in Python.

Training writes millions of them, which the template's sandbox is too slow for; a test holds the two
against each other.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "CALL",
    "CONTROL",
    "END",
    "ITEMS",
    "PAD",
    "START",
    "Piece",
    "chat_template",
    "write_messages",
    "write_prefix",
]

START = "<|start|>"
"""Where heads look that find nothing."""
END = "<|end|>"
CALL, ARGUMENTS = "[TOOL_CALLS]", "[ARGS]"
PAD = "<|pad|>"
ITEMS = tuple(f"<|{i}|>" for i in range(1, 25))
"""Begin what can be chosen: tools, and the lines of a list in a system prompt. Each its own, so
that the words of a description can say of which they are; the 25th begins as the first."""
CONTROL = (
    PAD, END, START, "<|system|>", "<|user|>", "<|assistant|>", "<|result|>", CALL, ARGUMENTS,
    *ITEMS,
)  # fmt: skip
"""The control tokens, which have the first ids."""

_QUOTES = "{%- set quotes_arguments = true -%}\n"
_BULLETS = ("- ", "* ")
_READ_TWICE = 1000
"""Characters of the longest request that is said twice: words of the second reading know what
comes after them. Longer ones would fill the context."""


class Piece(NamedTuple):
    """Some text, or one control token."""

    text: str
    is_control: bool
    by_model: bool
    """The model is to write it."""


@functools.cache
def chat_template(quotes: bool = True) -> str:
    """The Jinja source that goes into the GGUF file.

    Args:
        quotes: texts in arguments are quoted from the conversation; see `tool_formats.quoted`.
    """
    source = (Path(__file__).parent / "nano.jinja").read_text(encoding="utf-8").rstrip("\n")
    return source if quotes else source.removeprefix(_QUOTES)


def write_prefix(system: str | None, tools: tuple[dict[str, Any], ...]) -> Iterator[Piece]:
    """What all conversations of a scene begin with."""
    items = itertools.cycle(ITEMS)
    yield Piece(START, True, False)
    if system is not None:
        yield Piece("<|system|>", True, False)
        yield from _with_items(system, items)
    for tool in tools:
        # As it is called, so that who calls it finds what comes next behind what came before. What
        # it is for stands first: it is known where the name is read.
        function = tool["function"]
        yield Piece(next(items), True, False)
        yield Piece(function.get("description") or "", False, False)
        yield Piece(CALL, True, False)
        yield Piece(function["name"], False, False)
        yield Piece(ARGUMENTS, True, False)
        yield Piece(_parameters_text(function.get("parameters") or {}), False, False)


def _with_items(system: str, items: Iterator[str]) -> Iterator[Piece]:
    """Lines of a list begin with an item instead of a dash."""
    for i, line in enumerate(system.split("\n")):
        if i:
            yield Piece("\n", False, False)
        if line.startswith(_BULLETS):
            yield Piece(next(items), True, False)
            line = line[2:]
        yield Piece(line, False, False)


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
                said = message["content"]
                for _ in range(2 if len(said) <= _READ_TWICE else 1):
                    yield Piece("<|user|>", True, False)
                    yield Piece(said, False, False)


def _assistant(message: Mapping[str, Any]) -> Iterator[Piece]:
    yield Piece("<|assistant|>", True, False)
    if message.get("content"):
        yield Piece(message["content"], False, True)
    for call in message.get("tool_calls") or ():
        function = call["function"]
        yield Piece(CALL, True, True)
        yield Piece(function["name"], False, True)
        yield Piece(ARGUMENTS, True, True)
        yield Piece(_json(function["arguments"]), False, True)
    yield Piece(END, True, True)


def _parameters_text(parameters: Mapping[str, Any]) -> str:
    required = parameters.get("required") or ()
    texts = []
    for key, schema in (parameters.get("properties") or {}).items():
        text = f'"{key}": {_kind(schema)}{"" if key in required else "?"}'
        if "default" in schema:
            text += f" = {_json(schema['default'])}"
        if schema.get("description"):
            text += f" - {schema['description']}"
        texts.append(text)
    return f"{{{', '.join(texts)}}}"


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
