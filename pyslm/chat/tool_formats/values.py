"""Values as models write them, and the JSON text that clients get."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from pyslm.chat.events import ToolCall
from pyslm.chat.tools import Tool, is_tool_name

__all__ = [
    "arguments_text",
    "attempt",
    "call_of_json",
    "calls_of_json",
    "calls_of_member",
    "json_text",
    "known",
    "read_json",
    "strict_json",
    "written_call",
    "written_calls",
]

_T = TypeVar("_T")
_SPACE = re.compile(r"[ \t\n\r]*")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_STRICT = json.JSONDecoder(parse_constant=_refuse)
# Models write line breaks into strings; json then says what they meant.
_LENIENT = json.JSONDecoder(parse_constant=_refuse, strict=False)


def read_json(text: str) -> Any:
    """The value of JSON text; line breaks in strings are let pass.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    try:
        return _LENIENT.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def json_text(value: Any) -> str:
    """JSON text of a value that a model wrote.

    Raises:
        ValueError: no JSON: infinite, or nested too deep.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: as an escape it is still JSON
        return json.dumps(value, allow_nan=False)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return text


def _members(text: str) -> dict[str, str]:
    """The members of a JSON object, as they are written. `text` must have been read before."""
    members: dict[str, str] = {}
    at = _SPACE.match(text, text.index("{") + 1).end()  # type: ignore[union-attr]
    while text[at] != "}":
        key, at = _LENIENT.raw_decode(text, at)
        start = _SPACE.match(text, text.index(":", at) + 1).end()  # type: ignore[union-attr]
        _, end = _LENIENT.raw_decode(text, start)
        members[key] = text[start:end]
        at = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        if text[at] == ",":
            at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
    return members


def _elements(text: str) -> list[str]:
    """The elements of a JSON array, as they are written. `text` must have been read before."""
    elements: list[str] = []
    at = _SPACE.match(text, text.index("[") + 1).end()  # type: ignore[union-attr]
    while text[at] != "]":
        _, end = _LENIENT.raw_decode(text, at)
        elements.append(text[at:end])
        at = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        if text[at] == ",":
            at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
    return elements


def call_of_json(text: str, arguments: Sequence[str] = ("arguments", "parameters")) -> ToolCall:
    """The call that a JSON object with a name and arguments is.

    The arguments are kept as written: no number is rounded.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(read_json(text), dict):
        raise ValueError("not an object")
    members = _members(text)
    if isinstance(read_json(members.get("function", "0")), dict):  # as in OpenAI's messages
        return call_of_json(members["function"], arguments)
    name = read_json(members.get("name", "0"))
    if not is_tool_name(name):
        raise ValueError("no name")
    given = next((members[key] for key in arguments if key in members), "{}")
    call_id = read_json(members.get("id", "0"))
    return ToolCall(name, arguments_text(given), call_id if isinstance(call_id, str) else "")


def calls_of_json(text: str) -> list[ToolCall]:
    """The calls of a JSON array. Raises ValueError if it is none, is empty or one is no call."""
    if not isinstance(read_json(text), list):
        raise ValueError("not an array")
    calls = [call_of_json(element) for element in _elements(text)]
    if not calls:
        raise ValueError("no call")
    return calls


def calls_of_member(text: str, key: str) -> list[ToolCall]:
    """The calls listed by a member of a JSON object; none if it has no such member.

    Raises:
        ValueError: it is no object, or they are no calls.
    """
    if not isinstance(read_json(text), dict):
        raise ValueError("not an object")
    members = _members(text)
    return calls_of_json(members[key]) if key in members else []


def arguments_text(text: str) -> str:
    """Arguments that were written as JSON: an object, the text of one, or null for none.

    Raises:
        ValueError: they are anything else.
    """
    value = read_json(text)
    if isinstance(value, str):
        text, value = value, read_json(value)
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise ValueError("arguments are no object")
    return attempt(strict_json, text) or json_text(value)


def strict_json(text: str) -> str:
    """The text itself, if it is JSON to the letter. Raises ValueError otherwise."""
    try:
        _STRICT.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return text.strip()


def known(calls: Sequence[ToolCall] | None, tools: Mapping[str, Tool]) -> Sequence[ToolCall]:
    """`calls`, if all are of tools that were offered, where nothing else tells a call from an
    answer; else none."""
    calls = calls or ()
    return calls if all(call.name in tools for call in calls) else ()


def attempt(read: Callable[[str], _T], text: str | None) -> _T | None:
    """What `read` makes of the text; None where there is none, or `read` raises ValueError."""
    try:
        return None if text is None else read(text)
    except ValueError:
        return None


def written_call(call: ToolCall, arguments: str = "arguments") -> str:
    """{"name": ..., "arguments": {...}}, as templates write it."""
    return f'{{"name": {json_text(call.name)}, "{arguments}": {call.arguments}}}'


def written_calls(calls: Sequence[ToolCall]) -> str:
    """A JSON list of them."""
    return f"[{', '.join(map(written_call, calls))}]"
