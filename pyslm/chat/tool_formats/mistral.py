"""Mistral: [TOOL_CALLS][{"name": ..., "arguments": {...}}], and since version 11 of its tokenizer
[TOOL_CALLS]name[ARGS]{...}, sometimes with [CALL_ID]id after the name.

Source: https://github.com/mistralai/mistral-common
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join, literal
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark, repeated
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import arguments_text, attempt, calls_of_json, written_calls
from pyslm.chat.tools import Tool, is_tool_name

_ID_CHARACTERS = string.ascii_letters + string.digits


_OPEN, _ID, _ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
_MAX_NAME = 256


@register
class Mistral(ToolFormat):
    name = "mistral"
    markers = (_OPEN, _ID, _ARGUMENTS)
    trigger = _OPEN

    def detect(self, template: str) -> int:
        return 15 if _OPEN in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        while (yield from reader.content_until(reader.markers[_OPEN])):
            yield from reader.skip_space()
            calls = attempt(calls_of_json, (yield from reader.balanced("[")))
            if calls is None:
                calls = yield from self._named(reader)
            reader.accept_or_reject(calls)

    def _named(self, reader: Reader) -> Steps[list[ToolCall] | None]:
        """A call as since version 11."""
        call_id, arguments = reader.markers[_ID], reader.markers[_ARGUMENTS]
        head = yield from reader.until(call_id, arguments, "{", limit=_MAX_NAME)
        if head is None:
            return None
        name, end = head
        identity = ""
        if end == call_id:
            head = yield from reader.until(arguments, "{", limit=_MAX_NAME)
            if head is None:
                return None
            identity, end = head
        if end == "{":
            reader.pos -= len("{")
        yield from reader.skip_space()
        given = attempt(arguments_text, (yield from reader.balanced("{")))
        if given is None or not is_tool_name(name.strip()):
            return None
        return [ToolCall(name.strip(), given, identity.strip())]

    def write(self, calls: Sequence[ToolCall]) -> str:
        return join((literal(_OPEN), written_calls(calls)))

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        return f'"[" {lark.call_list(tools, parallel)} "]"'

    def new_id(self) -> str:
        """Nine letters and digits: the templates refuse any other."""
        return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(9))


@register
class Mistral11(Mistral):
    name = "mistral11"

    def detect(self, template: str) -> int:
        return 20 if _OPEN in template and _ARGUMENTS in template else 0

    def head(self, tool: Tool) -> str:
        return join((literal(_OPEN), tool.name, literal(_ARGUMENTS)))

    def write(self, calls: Sequence[ToolCall]) -> str:
        opening, arguments = literal(_OPEN), literal(_ARGUMENTS)
        return join(
            part for call in calls for part in (opening, call.name, arguments, call.arguments)
        )

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        call = lark.any_of(
            f"{lark.text(tool.name)} {lark.mark(_ARGUMENTS)} {lark.arguments(tool)}"
            for tool in tools
        )
        return repeated(call, lark.mark(_OPEN), parallel)
