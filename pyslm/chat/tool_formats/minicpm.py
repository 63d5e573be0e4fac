"""MiniCPM5: <function name="f"><param name="p">text</param></function>.

Source: the chat template of openbmb/MiniCPM5-1B
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pyslm.chat.events import ToolCall
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.bare import bare_argument
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark, repeated
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.schema import declared_parameters
from pyslm.chat.tool_formats.typed import argument_text, argument_until
from pyslm.chat.tool_formats.values import json_text, known
from pyslm.chat.tools import Tool, is_tool_name

_FUNCTION, _FUNCTION_END = '<function name="', "</function>"
_PARAMETER, _PARAMETER_END = '<param name="', "</param>"
_QUOTED, _QUOTED_END = "<![CDATA[", "]]></param>"
_MAX_NAME = 256


@register
class MiniCpm(ToolFormat):
    name = "minicpm"
    trigger = _FUNCTION

    def detect(self, template: str) -> int:
        return 20 if _FUNCTION in template and _PARAMETER in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        """Tags are not control tokens: only of a tool that was offered is it a call."""
        while (yield from reader.content_until(_FUNCTION)):
            call = yield from self._call(reader)
            reader.accept_or_reject(known([call] if call else (), reader.tools))

    def _call(self, reader: Reader) -> Steps[ToolCall | None]:
        name = yield from reader.until('">', limit=_MAX_NAME)
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
            key = yield from reader.until('">', limit=_MAX_NAME)
            if key is None:
                return None
            quoted = yield from reader.take(_QUOTED)
            end = _QUOTED_END if quoted else _PARAMETER_END
            text = yield from argument_until(reader, tool, key[0], end)
            if text is None:
                return None
            members.append(f"{json_text(key[0])}: {argument_text(text, tool, key[0])}")

    def write(self, calls: Sequence[ToolCall]) -> str:
        return "\n".join(map(self._written, calls))

    def _written(self, call: ToolCall) -> str:
        parameters = "".join(
            f'{_PARAMETER}{key}">{_written_value(value)}{_PARAMETER_END}'
            for key, value in json.loads(call.arguments).items()
        )
        return f'{_FUNCTION}{call.name}">{parameters}{_FUNCTION_END}'

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        call = lark.any_of(self._function(lark, tool) for tool in tools)
        return repeated(call, lark.text(f"\n{_FUNCTION}"), parallel)

    def _function(self, lark: Lark, tool: Tool) -> str:
        schema = declared_parameters(tool)
        parts = [lark.text(f'{tool.name}">')]
        required = schema.get("required", ())
        for name, part in schema["properties"].items():
            root = tool.parameters
            plain = bare_argument(lark, part, root, _PARAMETER_END, "/[^<&\\n]*/")
            quoted = bare_argument(lark, part, root, _QUOTED_END)
            head = lark.text(f'{_PARAMETER}{name}">')
            parameter = f"{head} ({plain} | {lark.text(_QUOTED)} {quoted})"
            parts.append(parameter if name in required else f"({parameter})?")
        return " ".join([*parts, lark.text(_FUNCTION_END)])


def _written_value(value: Any) -> str:
    if not isinstance(value, str):
        return json_text(value)
    return f"{_QUOTED}{value}]]>" if set(value) & set("<&\n") else value
