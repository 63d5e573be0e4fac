"""Writing llguidance's dialect of Lark.

Source: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyslm.chat.tool_formats.quoted import quoted_object
from pyslm.chat.tools import Tool
from pyslm.grammar.json_schema import json_schema_grammar

__all__ = ["ANY_TEXT", "Lark", "repeated"]

ANY_TEXT = "/(?s:.*)/"


class Lark:
    """A grammar in the making. Its methods return expressions, to be joined by spaces."""

    def __init__(
        self, control: Mapping[str, int] | None = None, quotable: Sequence[str] = ()
    ) -> None:
        """`control`: the vocabulary's control tokens, text -> id; `quotable`: where arguments are
        quoted, of what; see `tool_formats.quoted`."""
        self._control = control or {}
        self._quotable = quotable
        self._rules: dict[str, str] = {}
        self._shared: dict[str, str] = {}

    def is_control(self, marker: str) -> bool:
        return marker in self._control

    def mark(self, marker: str) -> str:
        """A marker: the control token where there is one, its text otherwise."""
        return f"<[{self._control[marker]}]>" if marker in self._control else self.text(marker)

    def text(self, text: str) -> str:
        """Exactly this text."""
        # Lark strings are JSON strings that may not hold DEL either.
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f") if text else '""'

    def json(self, schema: Mapping[str, Any] | bool) -> str:
        """A JSON value that the schema allows.

        Raises:
            InvalidRequestError: it has a keyword that cannot be enforced.
        """
        return self.rule("json", f"%json {json_schema_grammar(schema)}")

    def arguments(self, tool: Tool) -> str:
        """The JSON object of a call's arguments."""
        schema = tool.argument_schema()
        quoted = quoted_object(self, schema, self._quotable) if self._quotable else None
        return quoted or self.json(schema)

    def call(self, tool: Tool, arguments: str = "arguments") -> str:
        """{"name": ..., "arguments": {...}}"""
        head = f'{{"name": {json.dumps(tool.name)}, "{arguments}": '
        return f'{self.text(head)} {self.arguments(tool)} "}}"'

    def call_list(self, tools: Sequence[Tool], parallel: bool) -> str:
        """Calls as JSON objects, with commas between."""
        return repeated(self.any_of(self.call(tool) for tool in tools), '", "', parallel)

    def rule(self, name: str, body: str, options: str = "") -> str:
        """A rule of its own. Terminals go by names in capitals."""
        name = f"{name}{'_' if name.islower() else ''}{len(self._rules)}"
        self._rules[name] = f"{name}{options}: {body}"
        return name

    def shared(self, name: str, body: str) -> str:
        """A rule that is the same wherever it is asked for."""
        if body not in self._shared:
            self._shared[body] = self.rule(name, body)
        return self._shared[body]

    def any_of(self, bodies: Iterable[str]) -> str:
        """One of these."""
        return self.rule("option", " | ".join(bodies))

    def named(self, name: str) -> str:
        """Reserves a rule for `define`, so that rules may refer to themselves."""
        name = f"{name}_{len(self._rules)}"
        self._rules[name] = ""
        return name

    def define(self, name: str, body: str) -> None:
        self._rules[name] = f"{name}: {body}"

    def any_text(self) -> str:
        """Text of any kind, to where it ends."""
        return self.rule("TEXT", ANY_TEXT)

    def text_not_beginning(self, *starts: str) -> str:
        """Text that begins with none of `starts`; there, literals of just these may take over."""
        banned = " ".join(f"& ~/{escaped(start)}(?s:.*)/" for start in starts)
        return self.rule("TEXT", f"{ANY_TEXT} {banned}")

    def text_before(self, marker: str) -> str:
        """Any text, and then the marker."""
        if self.is_control(marker):
            return f"{self.any_text()} {self.mark(marker)}"
        return self.rule("head", f"{ANY_TEXT} {self.text(marker)}", "[lazy]")

    def source(self, start: str) -> str:
        return "\n".join([f"start: {start}", *self._rules.values()])


def escaped(text: str) -> str:
    """Text inside a regular expression of Lark."""
    return "".join(c if c.isalnum() or not c.isascii() else f"\\x{ord(c):02x}" for c in text)


def repeated(item: str, separator: str, parallel: bool) -> str:
    """One item, or if `parallel` any number with a separator between."""
    return f"{item} ({separator} {item})*" if parallel else item
