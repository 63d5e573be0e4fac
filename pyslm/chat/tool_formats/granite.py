"""IBM Granite 3: <|tool_call|>[{"name": ..., "arguments": {...}}]. Granite 4 writes as Hermes does.

Source: https://www.ibm.com/granite/docs/models/granite (prompt engineering guide)
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join, literal
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.hermes import Hermes
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import attempt, calls_of_json, written_calls
from pyslm.chat.tools import Tool

_OPEN = "<|tool_call|>"
_ROLE = "<|start_of_role|>"


@register
class Granite(ToolFormat):
    name = "granite"
    markers = (_OPEN,)
    trigger = _OPEN

    def detect(self, template: str) -> int:
        return 15 if _ROLE in template and _OPEN in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        while (yield from reader.content_until(reader.markers[_OPEN])):
            yield from reader.skip_space()
            reader.accept_or_reject(attempt(calls_of_json, (yield from reader.balanced("["))))

    def write(self, calls: Sequence[ToolCall]) -> str:
        return join((literal(_OPEN), written_calls(calls)))

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        return f'"[" {lark.call_list(tools, parallel)} "]"'


@register
class Granite4(Hermes):
    name = "granite4"

    def detect(self, template: str) -> int:
        return 20 if _ROLE in template and "<tool_call>" in template else 0
