"""Calls in Python's notation: how they are written, and their grammar."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyslm.chat.events import ToolCall
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.schema import SchemaWriter
from pyslm.chat.tools import Tool

__all__ = ["call_list_grammar", "written_list"]

_STRING_BOUNDS = ("minLength", "maxLength", "pattern", "format")


class _PythonWriter(SchemaWriter):
    """Strings as JSON writes them, which Python reads too."""

    def string(self, schema: Mapping[str, Any]) -> str:
        bounds = {key: schema[key] for key in _STRING_BOUNDS if key in schema}
        return self.lark.json({"type": "string", **bounds})

    def key(self, name: str | None) -> str:
        return self.string({}) if name is None else self.written_string(name)

    def written_string(self, text: str) -> str:
        return self.lark.text(json.dumps(text, ensure_ascii=False))


def call_list_grammar(lark: Lark, tools: Sequence[Tool], parallel: bool, opening: str = "") -> str:
    """f(a=1), g(b="x"); `opening` is part of the first literal."""
    first = lark.any_of(_call(lark, tool, opening) for tool in tools)
    if not parallel:
        return first
    further = lark.any_of(_call(lark, tool) for tool in tools) if opening else first
    return f'{first} (", " {further})*'


def _call(lark: Lark, tool: Tool, opening: str = "") -> str:
    arguments = _PythonWriter(lark, tool.parameters).arguments(tool, lark.text, '"="')
    return f'{lark.text(f"{opening}{tool.name}(")} {arguments} ")"'


def written_list(calls: Sequence[ToolCall]) -> str:
    """[f(a=1), g(b="x")]"""
    return f"[{', '.join(map(_written, calls))}]"


def _written(call: ToolCall) -> str:
    arguments = json.loads(call.arguments)
    return f"{call.name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
