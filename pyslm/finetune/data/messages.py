"""Messages of a conversation, as OpenAI's API has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyslm.finetune.data.spec import Given, ToolSpec

__all__ = ["Message", "calls", "joined_and", "plain", "result", "says", "user"]

Message = dict[str, Any]


def joined_and(parts: Sequence[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def plain(value: Any) -> str:
    """A value as it is told."""
    if isinstance(value, list):
        return joined_and([str(item) for item in value])
    return str(value)


def user(text: str) -> Message:
    """What a person says."""
    return {"role": "user", "content": text}


def says(text: str) -> Message:
    """What the model says."""
    return {"role": "assistant", "content": text}


def result(text: str) -> Message:
    """What a tool returns."""
    return {"role": "tool", "content": text}


def calls(*wanted: tuple[ToolSpec, Sequence[Given]]) -> Message:
    """A message with calls, arguments in the order of the schema."""
    made = []
    for tool, given in wanted:
        values = {g.param.key: g.value.data for g in given}
        arguments = {p.key: values[p.key] for p in tool.params if p.key in values}
        made.append({"type": "function", "function": {"name": tool.name, "arguments": arguments}})
    return {"role": "assistant", "content": None, "tool_calls": made}
