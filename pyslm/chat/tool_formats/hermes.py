"""Hermes and Qwen: <tool_call>{"name": ..., "arguments": {...}}</tool_call>.

Source: https://github.com/NousResearch/Hermes-Function-Calling
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join, literal
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark, repeated
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import attempt, call_of_json, written_call
from pyslm.chat.tools import Tool

__all__ = ["Hermes"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


@register
class Hermes(ToolFormat):
    name = "hermes"
    markers = (_OPEN, _CLOSE)
    trigger = _OPEN

    def detect(self, template: str) -> int:
        return 10 if _OPEN in template and '"arguments"' in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        while (yield from reader.content_until(reader.markers[_OPEN])):
            yield from reader.skip_space()
            call = attempt(call_of_json, (yield from reader.balanced("{")))
            if reader.accept_or_reject([call] if call else None):
                yield from reader.skip_closing(reader.markers[_CLOSE])

    def write(self, calls: Sequence[ToolCall]) -> str:
        opening, closing = literal(f"{_OPEN}\n"), literal(f"\n{_CLOSE}")
        return literal("\n").join(join((opening, written_call(call), closing)) for call in calls)

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        call = lark.any_of(lark.call(tool) for tool in tools)
        body = lark.rule("call", f'"\\n" {call} "\\n" {lark.mark(_CLOSE)}')
        return repeated(body, f'"\\n" {lark.mark(_OPEN)}', parallel)
