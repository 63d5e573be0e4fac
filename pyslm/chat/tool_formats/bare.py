"""Arguments as bare text between tags: their grammar, such that `typed` reads them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.schema import choices_of, refuse_other_keywords, with_definitions
from pyslm.chat.tool_formats.strings import bare_string
from pyslm.chat.tool_formats.typed import resolved, types_of

__all__ = ["bare_argument"]

# A parameter that may be a string or something else is read as a string only if it cannot be read
# as anything else.
_ONLY_STRINGS = (
    r"/([^-+.0-9\[\{\(\x22\x27\s](?s:.*))?/",
    r"~/(?i:true|false|null|none)\s*/",
)
_NO_STRINGS = {"type": ["number", "boolean", "null", "array", "object"]}


def bare_argument(
    lark: Lark, schema: Any, root: Mapping[str, Any], end: str, *conditions: str
) -> str:
    """The text of an argument, and what ends it.

    Args:
        schema: that of the parameter; `root` is what it refers into.
        conditions: of bare strings; see `bare_string`.

    Raises:
        InvalidRequestError: the schema cannot be enforced.
    """
    if types_of(schema, root) != {"string"}:
        conditions = (*conditions, *_ONLY_STRINGS)
    return _Writer(lark, root, end, conditions).value(schema)


@dataclass(frozen=True, slots=True)
class _Writer:
    lark: Lark
    root: Mapping[str, Any]
    end: str
    conditions: tuple[str, ...]

    def value(self, schema: Any) -> str:
        schema = resolved(schema, self.root)
        types = types_of(schema, self.root)
        if not isinstance(schema, Mapping):
            schema = {}
        if "string" not in types:
            return self._json(schema)
        choices = choices_of(schema)
        if choices is not None:
            return f"{self.lark.any_of(map(self._choice, choices))} {self.lark.text(self.end)}"
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                refuse_other_keywords(schema, {keyword})
                return self.lark.any_of(map(self.value, schema[keyword]))
        string = bare_string(self.lark, schema, self.end, *self.conditions)
        if types == {"string"}:
            return string
        if not schema.get("type"):
            refuse_other_keywords(schema, set())
            return self.lark.any_of((string, self._json(_NO_STRINGS)))
        others = {**schema, "type": sorted(types - {"string"})}
        return self.lark.any_of((string, self._json(others)))

    def _json(self, schema: Mapping[str, Any]) -> str:
        return f"{self.lark.json(with_definitions(schema, self.root))} {self.lark.text(self.end)}"

    def _choice(self, choice: Any) -> str:
        if isinstance(choice, str):
            return self.lark.text(choice)
        return self.lark.json({"const": choice})
