"""For models whose chat template knows of no tools: a JSON object, described in the system message.

::

    {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import (
    attempt,
    call_of_json,
    calls_of_member,
    json_text,
    known,
    written_calls,
)
from pyslm.chat.tools import Tool

_CALLS = "tool_calls"
_FENCE, _FENCE_END = "```json", "```"
_KEYS = tuple(f'"{key}"' for key in (_CALLS, "name", "function"))


@register
class Generic(ToolFormat):
    name = "generic"
    trigger = f'{{"{_CALLS}": ['
    anchored = True

    def detect(self, template: str) -> int:  # noqa: ARG002
        return 1

    def read(self, reader: Reader) -> Steps[None]:
        """A single call without the envelope is taken too, and a code fence around."""
        yield from reader.skip_space()
        fenced = yield from reader.take(_FENCE)
        yield from reader.skip_space()
        if (yield from self._is_begun(reader)):
            text = yield from reader.balanced("{")
            calls = attempt(_calls, text)
            if calls and known(calls, reader.tools):
                reader.accept(calls)
                if fenced:
                    yield from reader.skip_closing(_FENCE_END)
        reader.pos = 0
        yield from reader.content_until()

    def _is_begun(self, reader: Reader) -> Steps[bool]:
        """Whether an object may hold calls: so that any other need not wait for its end."""
        start = reader.pos
        begun = yield from reader.take("{")
        if begun:
            yield from reader.skip_space()
            begun = yield from reader.take(*_KEYS)
        reader.pos = start
        return bool(begun)

    def write(self, calls: Sequence[ToolCall]) -> str:
        return f'{{"{_CALLS}": {written_calls(calls)}}}'

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        return f'{lark.call_list(tools, parallel)} "]}}"'

    def system_text(self, tools: Sequence[Tool]) -> str:
        listed = "\n".join(json_text(tool.described()["function"]) for tool in tools)
        return (
            f"You can call these tools:\n{listed}\n\n"
            "To call tools, answer with nothing but a JSON object of this form:\n"
            f'{{"{_CALLS}": [{{"name": "<name of the tool>", "arguments": {{<arguments>}}}}]}}\n'
            "You then get the results, and answer. If no tool is needed, answer in plain text."
        )


def _calls(text: str) -> list[ToolCall]:
    return calls_of_member(text, _CALLS) or [call_of_json(text)]
