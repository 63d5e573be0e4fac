"""Phi-4-mini: functools[{"name": ..., "arguments": {...}}], or the same list after <|tool_call|>.

Source: https://huggingface.co/microsoft/Phi-4-mini-instruct
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import attempt, calls_of_json, written_calls
from pyslm.chat.tools import Tool

_FUNCTOOLS = "functools"
_OPEN, _CLOSE = "<|tool_call|>", "<|/tool_call|>"


@register
class Phi4(ToolFormat):
    name = "phi4"
    markers = (_OPEN, _CLOSE)
    trigger = f"{_FUNCTOOLS}["

    def detect(self, template: str) -> int:
        return 15 if "<|tool|>" in template and "<|/tool|>" in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        opening = reader.markers[_OPEN]
        while found := (yield from reader.content_until(self.trigger, opening)):
            if found == opening:
                yield from reader.skip_space()
            else:
                reader.pos -= len("[")
            calls = attempt(calls_of_json, (yield from reader.balanced("[")))
            if reader.accept_or_reject(calls):
                yield from reader.skip_closing(reader.markers[_CLOSE])

    def write(self, calls: Sequence[ToolCall]) -> str:
        return f"{_FUNCTOOLS}{written_calls(calls)}"

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        return f'{lark.call_list(tools, parallel)} "]"'
