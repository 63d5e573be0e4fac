"""LFM2: <|tool_call_start|>[f(a=1), g(b="x")]<|tool_call_end|>.

Source: https://docs.liquid.ai/lfm/key-concepts/tool-use
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join, literal
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.literals import python_calls
from pyslm.chat.tool_formats.python_notation import call_list_grammar, written_list
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import attempt, calls_of_json
from pyslm.chat.tools import Tool

_OPEN, _CLOSE = "<|tool_call_start|>", "<|tool_call_end|>"


@register
class Lfm2(ToolFormat):
    name = "lfm2"
    markers = (_OPEN, _CLOSE)
    trigger = _OPEN

    def detect(self, template: str) -> int:
        if _OPEN in template or "<|tool_list_start|>" in template:
            return 15
        return 8 if "List of tools: [" in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        """A list of JSON objects is taken too: the model writes one if it is asked to."""
        while (yield from reader.content_until(reader.markers[_OPEN])):
            yield from reader.skip_space()
            text = yield from reader.balanced("[", "'\"")
            calls = attempt(python_calls, text) or attempt(calls_of_json, text)
            if reader.accept_or_reject(calls):
                yield from reader.skip_closing(reader.markers[_CLOSE])

    def write(self, calls: Sequence[ToolCall]) -> str:
        return join((literal(_OPEN), written_list(calls), literal(_CLOSE)))

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        return f'"[" {call_list_grammar(lark, tools, parallel)} "]" {lark.mark(_CLOSE)}'
