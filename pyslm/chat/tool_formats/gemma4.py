"""Gemma 4: <|tool_call>call:f{city:<|"|>Oslo<|"|>,days:3}<tool_call|>.

Source: https://ai.google.dev/gemma/docs/capabilities/text/function-calling-gemma4
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join, literal
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark, repeated
from pyslm.chat.tool_formats.literals import NotationReader
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.schema import SchemaWriter
from pyslm.chat.tool_formats.strings import bare_string
from pyslm.chat.tool_formats.values import attempt
from pyslm.chat.tools import Tool, is_tool_name

_OPEN, _CLOSE, _QUOTE = "<|tool_call>", "<tool_call|>", '<|"|>'
_CALL = "call:"
_KEY = re.compile(r"[^\s:{}\[\],]+")


@register
class Gemma4(ToolFormat):
    name = "gemma4"
    markers = (_OPEN, _CLOSE, _QUOTE)
    trigger = _OPEN

    def detect(self, template: str) -> int:
        return 20 if _OPEN in template and _QUOTE in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        def call_of(text: str) -> list[ToolCall]:
            return [_GemmaReader(text, reader.markers).call()]

        while (yield from reader.content_until(reader.markers[_OPEN])):
            reader.accept_or_reject(attempt(call_of, (yield from self._body(reader))))

    def _body(self, reader: Reader) -> Steps[str | None]:
        """All up to the closing marker, which strings may mention."""
        closing, quote = reader.markers[_CLOSE], reader.markers[_QUOTE]
        start = reader.pos
        while found := (yield from reader.until(closing, quote)):
            if found[1] == closing:
                return reader.text[start : reader.pos - len(closing)]
            if not (yield from reader.until(quote)):
                return None
        return None

    def write(self, calls: Sequence[ToolCall]) -> str:
        return join(map(self._written, calls))

    def _written(self, call: ToolCall) -> str:
        arguments = join(_members(json.loads(call.arguments)))
        head = literal(f"{_OPEN}{_CALL}")
        return join((head, call.name, "{", arguments, "}", literal(_CLOSE)))

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        call = lark.any_of(self._call(lark, tool) for tool in tools)
        body = lark.rule("call", f"{lark.text(_CALL)} {call} {lark.mark(_CLOSE)}")
        return repeated(body, lark.mark(_OPEN), parallel)

    def _call(self, lark: Lark, tool: Tool) -> str:
        arguments = _GemmaWriter(lark, tool.parameters).arguments(tool, lark.text, '":"')
        return f'{lark.text(f"{tool.name}{{")} {arguments} "}}"'


class _GemmaReader(NotationReader):
    """Strings between quotation marks of their own, without escapes; keys without any."""

    def __init__(self, text: str, markers: Mapping[str, str] | Any) -> None:
        super().__init__(text)
        self._quote: str = markers[_QUOTE]

    def call(self) -> ToolCall:
        self.expect(_CALL)
        name = self.name()
        if not is_tool_name(name):
            raise ValueError("no name")
        arguments = self.value()
        self.expect_end()
        if not arguments.startswith("{"):
            raise ValueError("no arguments")
        return ToolCall(name, arguments)

    def string(self) -> str | None:
        if not self.text.startswith(self._quote, self.pos):
            return None
        start = self.pos + len(self._quote)
        end = self.text.find(self._quote, start)
        if end < 0:
            raise ValueError("a string without end")
        self.pos = end + len(self._quote)
        return self.text[start:end]

    def key(self) -> str:
        key = self.string()
        if key is not None:
            return key
        found = _KEY.match(self.text, self.pos)
        if found is None:
            raise ValueError("no key")
        self.pos = found.end()
        return found[0]


class _GemmaWriter(SchemaWriter):
    words = {True: "true", False: "false", None: "null"}  # noqa: RUF012

    def string(self, schema: Mapping[str, Any]) -> str:
        text = bare_string(self.lark, schema, _QUOTE)
        return f"{self.lark.mark(_QUOTE)} {text}"

    def key(self, name: str | None) -> str:
        if name is None:
            return self.lark.rule("KEY", "/[A-Za-z_][A-Za-z0-9_]{0,30}/")
        return self.lark.text(name) if _KEY.fullmatch(name) else self.written_string(name)

    def written_string(self, text: str) -> str:
        quote = self.lark.mark(_QUOTE)
        return f"{quote} {self.lark.text(text)} {quote}"


def _members(value: Mapping[str, Any]) -> list[str]:
    parts: list[str] = []
    for key, member in value.items():
        parts += (*([","] if parts else []), key, ":", _written_value(member))
    return parts


def _written_value(value: Any) -> str:
    if isinstance(value, str):
        return join((literal(_QUOTE), value, literal(_QUOTE)))
    if isinstance(value, Mapping):
        return join(("{", *_members(value), "}"))
    if isinstance(value, list):
        parts: list[str] = []
        for item in value:
            parts += (*([","] if parts else []), _written_value(item))
        return join(("[", *parts, "]"))
    return json.dumps(value)
