"""Llama 3.2 and 4, and others: [f(a=1), g(b="x")] as the whole answer.

Source: https://www.llama.com/docs/model-cards-and-prompt-formats/llama4
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.literals import python_calls
from pyslm.chat.tool_formats.python_notation import call_list_grammar, written_list
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import attempt, known
from pyslm.chat.tools import Tool

_START, _END = "<|python_start|>", "<|python_end|>"


@register
class Pythonic(ToolFormat):
    name = "pythonic"
    markers = (_START, _END)
    trigger = "["
    anchored = True

    def detect(self, template: str) -> int:
        return 14 if _START in template or "[func_name1(params_name1=" in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        """A bare list is a call only if it names a tool: it may as well be the answer."""
        start = reader.markers[_START]
        if (yield from self._is_begun(reader)):
            calls = attempt(python_calls, (yield from reader.balanced("[", "'\"")))
            reader.accept_or_leave(known(calls, reader.tools))
        reader.pos = 0
        while (yield from reader.content_until(start)):
            yield from reader.skip_space()
            calls = attempt(python_calls, (yield from reader.balanced("[", "'\"")))
            if reader.accept_or_reject(calls):
                yield from reader.skip_closing(reader.markers[_END])

    def _is_begun(self, reader: Reader) -> Steps[bool]:
        """Whether a list may be of calls: so that any other need not wait for its end."""
        yield from reader.skip_space()
        start = reader.pos
        begun = yield from reader.take("[")
        if begun:
            yield from reader.skip_space()
            begun = yield from reader.take(*(f"{name}(" for name in reader.tools))
        reader.pos = start
        return bool(begun)

    def write(self, calls: Sequence[ToolCall]) -> str:
        return written_list(calls)

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        return f'{call_list_grammar(lark, tools, parallel)} "]"'

    def optional(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        """Lists that begin otherwise are answers."""
        answer = lark.text_not_beginning(*(f"[{tool.name}(" for tool in tools))
        return lark.any_of((answer, f'{call_list_grammar(lark, tools, parallel, "[")} "]"'))
