"""Llama 3: {"name": ..., "parameters": {...}} as the whole answer, or after <|python_tag|>.

Source: https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import attempt, call_of_json, known, written_call
from pyslm.chat.tools import Tool

_TAG = "<|python_tag|>"
_KEYS = tuple(f'"{key}"' for key in ("name", "type", "function", "parameters", "arguments", "id"))


@register
class Llama3(ToolFormat):
    name = "llama3"
    markers = (_TAG,)
    trigger = '{"name": "'
    anchored = True

    def detect(self, template: str) -> int:
        described = '{"name": function name, "parameters"' in template
        return 12 if described or ("ipython" in template and _TAG in template) else 0

    def read(self, reader: Reader) -> Steps[None]:
        tag = reader.markers[_TAG]
        yield from reader.skip_space()
        if not (yield from reader.take(tag)) and (yield from self._is_begun(reader)):
            reader.accept_or_leave(known((yield from self._calls(reader)), reader.tools))
        reader.pos = 0
        while (yield from reader.content_until(tag)):
            reader.accept_or_reject((yield from self._calls(reader)))

    def _is_begun(self, reader: Reader) -> Steps[bool]:
        """Whether a bare object may be a call: so that any other need not wait for its end."""
        start = reader.pos
        begun = yield from reader.take("{")
        if begun:
            yield from reader.skip_space()
            begun = yield from reader.take(*_KEYS)
        reader.pos = start
        return bool(begun)

    def _calls(self, reader: Reader) -> Steps[list[ToolCall]]:
        """One call, or several with semicolons between."""
        calls: list[ToolCall] = []
        while True:
            end = reader.pos
            yield from reader.skip_space()
            if calls and not (yield from reader.take(";")):
                break
            yield from reader.skip_space()
            call = attempt(call_of_json, (yield from reader.balanced("{")))
            if call is None:
                break
            calls.append(call)
        reader.pos = end
        return calls

    def write(self, calls: Sequence[ToolCall]) -> str:
        return "; ".join(written_call(call, "parameters") for call in calls)

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:  # noqa: ARG002
        """One call: the templates take no more."""
        heads = {tool: _head(tool).removeprefix(self.trigger) for tool in tools}
        return _calls(lark, heads)

    def optional(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:  # noqa: ARG002
        """Objects that begin otherwise are answers."""
        heads = {tool: _head(tool) for tool in tools}
        return lark.any_of((lark.text_not_beginning(*heads.values()), _calls(lark, heads)))


def _head(tool: Tool) -> str:
    return f'{{"name": "{tool.name}", "parameters": '


def _calls(lark: Lark, heads: Mapping[Tool, str]) -> str:
    return lark.any_of(
        f'{lark.text(head)} {lark.arguments(tool)} "}}"' for tool, head in heads.items()
    )
