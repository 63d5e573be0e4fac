"""DeepSeek: marks of full-width bars around a name and JSON; R1 and V3 put that in a code fence.

Source: https://huggingface.co/deepseek-ai/DeepSeek-V3-0324 and DeepSeek-V3.1
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join, literal
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark, repeated
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import arguments_text, attempt
from pyslm.chat.tools import Tool, is_tool_name

_ALL, _ALL_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL, _CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_FENCE, _FENCE_END = "\n```json\n", "\n```"
_MAX_NAME = 256


@register
class DeepSeek(ToolFormat):
    name = "deepseek"
    markers = (_ALL, _ALL_END, _CALL, _CALL_END, _SEPARATOR)
    trigger = _ALL

    def detect(self, template: str) -> int:
        return 20 if _SEPARATOR in template and "```json" in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        everything, call = reader.markers[_ALL], reader.markers[_CALL]
        ends = reader.markers[_CALL_END], reader.markers[_ALL_END]
        while found := (yield from reader.content_until(everything, call)):
            if found == everything:
                yield from reader.skip_space()
                yield from reader.take(call)
            if reader.accept_or_reject((yield from self._call(reader))):
                yield from reader.skip_closing(*ends)

    def _call(self, reader: Reader) -> Steps[list[ToolCall] | None]:
        head = yield from reader.until(reader.markers[_SEPARATOR], limit=_MAX_NAME)
        if head is None:
            return None
        yield from reader.skip_space()
        name = head[0].strip()
        text = yield from reader.balanced("{")
        if text is None:  # what came first is "function", the name follows, and a fence
            line = yield from reader.until("\n", limit=_MAX_NAME)
            if line is None:
                return None
            name = line[0].strip()
            yield from reader.skip_space()
            yield from reader.take("```json")
            yield from reader.skip_space()
            text = yield from reader.balanced("{")
            at = reader.pos
            yield from reader.skip_space()
            if not (yield from reader.take("```")):
                reader.pos = at
        arguments = attempt(arguments_text, text)
        return [ToolCall(name, arguments)] if arguments and is_tool_name(name) else None

    def write(self, calls: Sequence[ToolCall]) -> str:
        written = literal("\n").join(map(self.written, calls))
        return join((literal(_ALL), written, literal(_ALL_END)))

    def written(self, call: ToolCall) -> str:
        head, end = literal(f"{_CALL}function{_SEPARATOR}"), literal(f"{_FENCE_END}{_CALL_END}")
        return join((head, call.name, literal(_FENCE), call.arguments, end))

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        call = lark.any_of(self.call_grammar(lark, tool) for tool in tools)
        body = lark.rule("call", f"{lark.mark(_CALL)} {call} {lark.mark(_CALL_END)}")
        return f"{repeated(body, self.between, parallel)} {lark.mark(_ALL_END)}"

    between = '"\\n"'

    def call_grammar(self, lark: Lark, tool: Tool) -> str:
        head = f'"function" {lark.mark(_SEPARATOR)} {lark.text(tool.name + _FENCE)}'
        return f"{head} {lark.arguments(tool)} {lark.text(_FENCE_END)}"


@register
class DeepSeek31(DeepSeek):
    name = "deepseek31"
    between = '""'

    def detect(self, template: str) -> int:
        return 15 if _SEPARATOR in template else 0

    def write(self, calls: Sequence[ToolCall]) -> str:
        return join((literal(_ALL), *map(self.written, calls), literal(_ALL_END)))

    def written(self, call: ToolCall) -> str:
        parts = literal(_CALL), call.name, literal(_SEPARATOR), call.arguments, literal(_CALL_END)
        return join(parts)

    def call_grammar(self, lark: Lark, tool: Tool) -> str:
        return f"{lark.text(tool.name)} {lark.mark(_SEPARATOR)} {lark.arguments(tool)}"
