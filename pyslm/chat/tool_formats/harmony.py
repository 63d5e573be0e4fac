"""gpt-oss: every message has a channel, and maybe a recipient.

::

    <|channel|>analysis<|message|>They ask ...<|end|><|start|>assistant<|channel|>commentary
     to=functions.get_weather <|constrain|>json<|message|>{"city": "Oslo"}<|call|>

What is on the channel "analysis" is reasoning, "final" is the answer, "commentary" without a
recipient is said to the user before calls. The prompt ends with <|start|>assistant.

Source: https://cookbook.openai.com/articles/openai-harmony
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join, literal
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import arguments_text, attempt
from pyslm.chat.tools import Tool, is_tool_name

_START, _CHANNEL, _MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
_END, _CALL, _RETURN, _CONSTRAIN = "<|end|>", "<|call|>", "<|return|>", "<|constrain|>"
_FUNCTIONS = "functions."
_MAX_HEADER = 400
_RECIPIENT = r"(?:\s*to=(?P<{}>[\w.:/-]+))?"
_HEADER = re.compile(
    r"\s*(?:<\|start\|>)?\s*(?:assistant)?"
    + _RECIPIENT.format("before")
    + r"\s*(?:<\|channel\|>\s*(?P<channel>analysis|commentary|final))?"
    + _RECIPIENT.format("after")
    + r"\s*(?:<\|constrain\|>)?\s*\w*\s*"
)


@register
class Harmony(ToolFormat):
    name = "harmony"
    markers = (_START, _CHANNEL, _MESSAGE, _END, _CALL, _RETURN, _CONSTRAIN)
    trigger = _CHANNEL
    framed = True

    def detect(self, template: str) -> int:
        return 20 if _CHANNEL in template and _MESSAGE in template else 0

    def read(self, reader: Reader) -> Steps[None]:
        opening: str | None = ""  # what has begun the header, and been read
        while True:
            header = yield from self._header(reader, opening or "")
            if header:
                opening = yield from self._message(reader, header)
            else:
                if opening:
                    reader.reject()
                opening = yield from self._content(reader)
            if opening is None:
                return

    def _header(self, reader: Reader, opening: str) -> Steps[re.Match[str] | None]:
        head = yield from reader.until(reader.markers[_MESSAGE], limit=_MAX_HEADER)
        header = head and _HEADER.fullmatch(reader.markers.decode(opening + head[0]))
        if header and (header["before"] or header["channel"]):
            return header
        return None

    def _message(self, reader: Reader, header: re.Match[str]) -> Steps[str | None]:
        """Reads a message; what begins the next one, "" if it closed."""
        recipient = header["before"] or header["after"]
        if recipient:
            if (yield from self._call(reader, recipient.removeprefix(_FUNCTIONS))):
                return ""
            return (yield from self._content(reader))
        reader.drop(reader.pos)
        if header["channel"] == "analysis":
            return self._closed(reader, (yield from reader.reasoning_until(*self._ends(reader))))
        return (yield from self._content(reader))

    def _content(self, reader: Reader) -> Steps[str | None]:
        return self._closed(reader, (yield from reader.content_until(*self._ends(reader))))

    def _ends(self, reader: Reader) -> list[str]:
        return [reader.markers[mark] for mark in (_END, _CALL, _RETURN, _START, _CHANNEL)]

    def _closed(self, reader: Reader, end: str | None) -> str | None:
        if end is None or end in (reader.markers[_START], reader.markers[_CHANNEL]):
            return end
        reader.drop(reader.pos)
        return ""

    def _call(self, reader: Reader, name: str) -> Steps[bool]:
        yield from reader.skip_space()
        arguments = attempt(arguments_text, (yield from reader.balanced("{")))
        calls = [ToolCall(name, arguments)] if arguments and is_tool_name(name) else None
        accepted = reader.accept_or_reject(calls)
        if accepted:
            yield from reader.skip_closing(reader.markers[_CALL], reader.markers[_END])
        return accepted

    def write(self, calls: Sequence[ToolCall]) -> str:
        between = literal(f"{_CALL}{_START}assistant")
        return between.join(self._written(call) for call in calls)

    def _written(self, call: ToolCall) -> str:
        head = literal(f"{_CHANNEL}commentary to={_FUNCTIONS}")
        return join((head, call.name, literal(f" {_CONSTRAIN}json{_MESSAGE}"), call.arguments))

    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:  # noqa: ARG002
        """One call: the model ends its output after it."""
        call = lark.any_of(self._call_grammar(lark, tool) for tool in tools)
        return f"{self._analysis(lark)} {call}"

    def optional(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        answer = f'{self._analysis(lark)} "final" {lark.mark(_MESSAGE)} {lark.any_text()}'
        messages = lark.any_of((answer, self.rest(lark, tools, parallel)))
        return f"{lark.mark(_CHANNEL)} {messages}"

    def _analysis(self, lark: Lark) -> str:
        opened = f'"analysis" {lark.mark(_MESSAGE)} {lark.text_before(_END)}'
        return f'({opened} {lark.mark(_START)} "assistant" {lark.mark(_CHANNEL)})?'

    def _call_grammar(self, lark: Lark, tool: Tool) -> str:
        head = lark.text(f"commentary to={_FUNCTIONS}{tool.name} ")
        constrain = f'{lark.mark(_CONSTRAIN)} "json" {lark.mark(_MESSAGE)}'
        return f"{head} {constrain} {lark.arguments(tool)}"
