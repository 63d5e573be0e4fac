"""Functionary v3.2: every message names its recipient.

::

    >>>all
    Let me see.>>>get_weather
    {"city": "Oslo"}

The prompt ends with the first >>>.

Source: https://github.com/MeetKai/functionary (tests/prompt_test_v3.llama3.txt)
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import arguments_text, attempt
from pyslm.chat.tools import Tool

_MARK, _ALL = ">>>", "all"
_LINE_END = "\n"


@register
class Functionary(ToolFormat):
    name = "functionary"
    trigger = ""
    anchored = True
    framed = True

    def detect(self, template: str) -> int:
        return 20 if f"{_MARK}{_ALL}" in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        recipients = [f"{name}\n" for name in (*reader.tools, _ALL)]
        yield from reader.take(_MARK)
        found = yield from reader.take(*recipients)
        if not found:
            reader.pos = 0
        while True:
            if found:
                yield from self._message(reader, found.removeprefix(_MARK).strip())
            found = yield from reader.content_until(*(_MARK + name for name in recipients))
            if not found:
                return

    def _message(self, reader: Reader, recipient: str) -> Steps[None]:
        if recipient == _ALL:
            reader.drop(reader.pos)
            return
        yield from reader.skip_space()
        arguments = attempt(arguments_text, (yield from reader.balanced("{")))
        calls = [ToolCall(recipient, arguments)] if arguments else None
        reader.accept_or_reject(calls)

    def write(self, calls: Sequence[ToolCall]) -> str:
        return _MARK.join(f"{call.name}\n{call.arguments}" for call in calls)

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        call = lark.any_of(
            f"{lark.text(tool.name + _LINE_END)} {lark.arguments(tool)}" for tool in tools
        )
        return f'{call} ("{_MARK}" {call})*' if parallel else call

    def optional(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        calls = self.rest(lark, tools, parallel)
        return lark.any_of((f'"{_ALL}\\n" {lark.any_text()}', calls))
