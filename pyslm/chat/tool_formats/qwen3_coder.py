"""Qwen3-Coder and Qwen3.5: arguments between tags, each as text.

::

    <tool_call>
    <function=get_weather>
    <parameter=city>
    Oslo
    </parameter>
    </function>
    </tool_call>

Source: https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join, literal
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.bare import bare_argument
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark, repeated
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.schema import declared_parameters
from pyslm.chat.tool_formats.strings import without
from pyslm.chat.tool_formats.typed import argument_text, argument_until
from pyslm.chat.tool_formats.values import json_text, known
from pyslm.chat.tools import Tool, is_tool_name

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_FUNCTION, _FUNCTION_END = "<function=", "</function>"
_PARAMETER, _PARAMETER_END = "<parameter=", "</parameter>"
_LINE_END = "\n"
_MAX_NAME = 256


@register
class Qwen3Coder(ToolFormat):
    name = "qwen3_coder"
    markers = (_OPEN, _CLOSE)
    trigger = _OPEN

    def detect(self, template: str) -> int:
        return 20 if _FUNCTION in template and _PARAMETER in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        """The outer tag may be missing, as it often is, if the tool is one that was offered."""
        opening = reader.markers[_OPEN]
        while found := (yield from reader.content_until(opening, _FUNCTION)):
            yield from reader.skip_space()
            framed = found == opening
            call = None
            if not framed or (yield from reader.take(_FUNCTION)):
                call = yield from self._call(reader)
            calls = [call] if call else ()
            if reader.accept_or_reject(calls if framed else known(calls, reader.tools)):
                yield from reader.skip_closing(reader.markers[_CLOSE])

    def _call(self, reader: Reader) -> Steps[ToolCall | None]:
        name = yield from reader.until(">", limit=_MAX_NAME)
        if name is None or not is_tool_name(name[0]):
            return None
        tool = reader.tools.get(name[0])
        members: list[str] = []
        while True:
            yield from reader.skip_space()
            found = yield from reader.take(_PARAMETER, _FUNCTION_END)
            if found is None:
                return None
            if found == _FUNCTION_END:
                return ToolCall(name[0], f"{{{', '.join(members)}}}")
            name_end = yield from reader.until(">", limit=_MAX_NAME)
            if name_end is None:
                return None
            key = reader.markers.decode(name_end[0])
            text = yield from argument_until(reader, tool, key, _PARAMETER_END)
            if text is None:
                return None
            text = text.removeprefix("\n").removesuffix("\n")
            members.append(f"{json_text(key)}: {argument_text(text, tool, key)}")

    def write(self, calls: Sequence[ToolCall]) -> str:
        return literal("\n").join(map(self._written, calls))

    def _written(self, call: ToolCall) -> str:
        parameters = "".join(
            f"{_PARAMETER}{key}>\n{value if isinstance(value, str) else json_text(value)}\n"
            f"{_PARAMETER_END}\n"
            for key, value in json.loads(call.arguments).items()
        )
        body = f"\n{_FUNCTION}{call.name}>\n{parameters}{_FUNCTION_END}\n"
        return join((literal(_OPEN), body, literal(_CLOSE)))

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        call = lark.any_of(self._function(lark, tool) for tool in tools)
        body = lark.rule("call", f'"\\n" {call} "\\n" {lark.mark(_CLOSE)}')
        return repeated(body, f'"\\n" {lark.mark(_OPEN)}', parallel)

    def _function(self, lark: Lark, tool: Tool) -> str:
        schema = declared_parameters(tool)
        parts = [lark.text(f"{_FUNCTION}{tool.name}>\n")]
        required = schema.get("required", ())
        for name, part in schema["properties"].items():
            end = f"\n{_PARAMETER_END}\n"
            value = bare_argument(lark, part, tool.parameters, end, without(_PARAMETER_END))
            parameter = f"{lark.text(f'{_PARAMETER}{name}>{_LINE_END}')} {value}"
            parts.append(parameter if name in required else f"({parameter})?")
        return " ".join([*parts, lark.text(_FUNCTION_END)])
