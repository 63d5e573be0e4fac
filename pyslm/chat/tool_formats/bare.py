"""Arguments as bare text between tags: their grammar, such that `typed` reads them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.schema import choices_of, refuse_other_keywords, with_definitions
from pyslm.chat.tool_formats.strings import bare_string
from pyslm.chat.tool_formats.typed import resolved, types_of

__all__ = ["bare_argument"]

# A parameter that may be a string or something else is read as a string only if it cannot be read
# as anything else.
_ONLY_STRINGS = (
    r"~/\s*[-+.0-9\[\{\(\x22\x27](?s:.*)/",
    r"~/\s*((?i:true|false|null|none))\s*/",
)
_NO_STRINGS = {"type": ["number", "boolean", "null", "array", "object"]}


def bare_argument(lark: Lark, schema: Any, root: Mapping[str, Any], *conditions: str) -> str:
    """The text of an argument.

    Args:
        schema: that of the parameter; `root` is what it refers into.
        conditions: of bare strings; see `bare_string`.

    Raises:
        InvalidRequestError: the schema cannot be enforced.
    """
    types = types_of(schema, root)
    if types != {"string"}:
        conditions = (*conditions, *_ONLY_STRINGS)
    return _value(lark, schema, root, conditions)


def _value(lark: Lark, schema: Any, root: Mapping[str, Any], conditions: tuple[str, ...]) -> str:
    schema = resolved(schema, root)
    types = types_of(schema, root)
    if not isinstance(schema, Mapping):
        schema = {}
    if "string" not in types:
        return lark.json(with_definitions(schema, root))
    choices = choices_of(schema)
    if choices is not None:
        return lark.any_of(
            lark.text(choice) if isinstance(choice, str) else lark.json({"const": choice})
            for choice in choices
        )
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            refuse_other_keywords(schema, {keyword})
            return lark.any_of(_value(lark, part, root, conditions) for part in schema[keyword])
    string = bare_string(lark, schema, *conditions)
    if types == {"string"}:
        return string
    if not schema.get("type"):
        refuse_other_keywords(schema, set())
        return lark.any_of((string, lark.json(_NO_STRINGS)))
    others = {**schema, "type": sorted(types - {"string"})}
    return lark.any_of((string, lark.json(with_definitions(others, root))))
