"""Calls and values in Python's notation, as models write it: turned into JSON text.

The reader is generous: True or true, None or null, either quotation mark, escapes of Python and of
JSON. Nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pyslm.chat.events import ToolCall
from pyslm.chat.tool_formats.values import json_text
from pyslm.chat.tools import is_tool_name

__all__ = ["MAX_DEPTH", "NotationReader", "python_calls", "python_value"]

MAX_DEPTH = 64

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[\w.:/-]+")
_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?(?![\w.])")
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_STRING = {
    quote: re.compile(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}", re.DOTALL) for quote in "'\""
}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "0": "\0",
    "\\": "\\", "'": "'", '"': '"', "/": "/", "\n": "",
}  # fmt: skip
_CONSTANTS = {"true": "true", "false": "false", "null": "null", "none": "null"}


class NotationReader:
    """Reads values from the start of a text. Formats with other strings or keys override these."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self._depth = 0

    def value(self) -> str:
        """JSON text of the value that comes next. Raises ValueError if none does."""
        if self._depth >= MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        self._depth += 1
        result = self._value()
        self._depth -= 1
        return result

    def _value(self) -> str:
        self.skip_space()
        string = self.string()
        if string is not None:
            return json_text(string)
        if self.taken("{"):
            return f"{{{self._list_of(self.member, '}')}}}"
        for opening, closing in ("[]", "()"):
            if self.taken(opening):
                return f"[{self._list_of(self.value, closing)}]"
        return self._number() or self._constant()

    def string(self) -> str | None:
        """The text of a quoted string, if one comes next."""
        pattern = _STRING.get(self.text[self.pos : self.pos + 1])
        found = pattern.match(self.text, self.pos) if pattern else None
        if found is None:
            return None
        self.pos = found.end()
        text = _ESCAPE.sub(_unescaped, found[1])
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def member(self) -> str:
        """JSON text of a key and its value."""
        self.skip_space()
        key = self.key()
        self.expect(":")
        return f"{json_text(key)}: {self.value()}"

    def key(self) -> str:
        key = self.string()
        if key is None:
            raise ValueError("a key without quotes")
        return key

    def calls(self) -> list[ToolCall]:
        """f(a=1), g(b="x") up to a closing bracket or the end."""
        calls = []
        while True:
            name = self.name()
            self.expect("(")
            arguments = self._list_of(self._argument, ")")
            if not is_tool_name(name):
                raise ValueError("no name")
            calls.append(ToolCall(name, f"{{{arguments}}}"))
            if not self.taken(","):
                return calls

    def _argument(self) -> str:
        name = self.name()
        self.expect("=")
        return f"{json_text(name)}: {self.value()}"

    def _list_of(self, item: Callable[[], str], closing: str) -> str:
        items: list[str] = []
        while not self.taken(closing):
            if items:
                self.expect(",")
                if self.taken(closing):  # a comma after the last
                    break
            items.append(item())
        return ", ".join(items)

    def _number(self) -> str | None:
        found = _NUMBER.match(self.text, self.pos)
        if found is None:
            return None
        self.pos = found.end()
        text = found[0].replace("_", "").removeprefix("+")
        if _JSON_NUMBER.fullmatch(text):
            return text
        return json_text(float(text) if set(text) & set(".eE") else int(text))

    def _constant(self) -> str:
        word = self.name()
        if word.lower() not in _CONSTANTS:
            raise ValueError(f"no value: {word:.80}")
        return _CONSTANTS[word.lower()]

    def name(self) -> str:
        self.skip_space()
        found = _NAME.match(self.text, self.pos)
        if found is None:
            raise ValueError("no name")
        self.pos = found.end()
        return found[0]

    def skip_space(self) -> None:
        self.pos = _SPACE.match(self.text, self.pos).end()  # type: ignore[union-attr]

    def taken(self, text: str) -> bool:
        self.skip_space()
        if not self.text.startswith(text, self.pos):
            return False
        self.pos += len(text)
        return True

    def expect(self, text: str) -> None:
        if not self.taken(text):
            raise ValueError(f"no {text!r} at {self.pos}")

    def expect_end(self) -> None:
        self.skip_space()
        if self.pos != len(self.text):
            raise ValueError(f"more text at {self.pos}")


def _unescaped(found: re.Match[str]) -> str:
    escape = found[1]
    if escape[0] in "xuU" and len(escape) > 1:
        code = int(escape[1:], 16)
        return chr(code) if code <= 0x10FFFF else found[0]
    return _ESCAPES.get(escape, found[0])


def python_value(text: str) -> str:
    """JSON text of a Python literal. Raises ValueError if it is none."""
    reader = NotationReader(text)
    value = reader.value()
    reader.expect_end()
    return value


def python_calls(text: str) -> list[ToolCall]:
    """The calls of `[f(a=1), g(b="x")]`. Raises ValueError if it is no such list."""
    reader = NotationReader(text)
    reader.expect("[")
    calls = reader.calls()
    reader.expect("]")
    reader.expect_end()
    return calls
