"""Arguments that a model writes as bare text, whose types only the tool's schema tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyslm.chat.reader import Reader, Steps
from pyslm.chat.tool_formats.literals import python_value
from pyslm.chat.tool_formats.values import attempt, json_text, strict_json
from pyslm.chat.tools import Tool

__all__ = ["argument_text", "argument_until", "property_of", "resolved", "types_of"]

_MAX_REFERENCES = 16
_ANY = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})


def argument_text(text: str, tool: Tool | None, name: str) -> str:
    """JSON text of the argument that the model wrote as `text`.

    A parameter that may only be a string takes the text as it is. Any other takes what the text
    says as JSON, or as Python would write it, if its schema has that type; else the text.
    """
    schema, root = property_of(tool, name)
    types = types_of(schema, root)
    if types == {"string"}:
        return json_text(text)
    choices = _choices(schema, root)
    for candidate in _readings(text.strip()):
        value = json.loads(candidate)
        allowed = choices is None or any(_same(value, choice) for choice in choices)
        if allowed and _types_of_value(value) & types:
            return candidate
    return json_text(text)


def argument_until(reader: Reader, tool: Tool | None, name: str, end: str) -> Steps[str | None]:
    """Reads the text of an argument, up to and with `end`; None if that never comes.

    JSON may say `end` in a string: so brackets are read to where they close, if that is the end.
    """
    schema, root = property_of(tool, name)
    start = reader.pos
    if types_of(schema, root) != {"string"}:
        yield from reader.skip_space()
        text = yield from reader.balanced("{[")
        if text is not None:
            yield from reader.skip_space()
            if (yield from reader.take(end)):
                return text
        reader.pos = start
    found = yield from reader.until(end)
    return found and reader.markers.decode(found[0])


def _readings(text: str) -> list[str]:
    """The JSON texts that `text` may mean."""
    readings = (attempt(strict_json, text), attempt(python_value, text))
    return [reading for reading in readings if reading is not None]


def property_of(tool: Tool | None, name: str) -> tuple[Any, Mapping[str, Any]]:
    """The schema of a parameter, and the one it refers into. Any value is allowed for unknown
    parameters, and for those of unknown tools."""
    if tool is None:
        return {}, {}
    extra = tool.parameters.get("additionalProperties", {})
    return tool.properties.get(name, extra), tool.parameters


def resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """`schema`, or what it refers to."""
    for _ in range(_MAX_REFERENCES):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#"):
            return schema
        schema = root
        for part in reference.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            schema = schema.get(part, {}) if isinstance(schema, Mapping) else {}
    return {}


def types_of(schema: Any, root: Mapping[str, Any], depth: int = 0) -> frozenset[str]:
    """The JSON types that a schema allows."""
    schema = resolved(schema, root)
    if not isinstance(schema, Mapping) or depth > _MAX_REFERENCES:
        return _ANY
    types = schema.get("type")
    if isinstance(types, str):
        return frozenset({types})
    if isinstance(types, list):
        return frozenset(map(str, types))
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(choices, list):
        return frozenset().union(*map(_types_of_value, choices))
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list):
            return frozenset().union(*(types_of(s, root, depth + 1) for s in schema[keyword]))
    if isinstance(schema.get("allOf"), list):
        return _ANY.intersection(*(types_of(s, root, depth + 1) for s in schema["allOf"]))
    return _ANY


def _choices(schema: Any, root: Mapping[str, Any]) -> list[Any] | None:
    schema = resolved(schema, root)
    if not isinstance(schema, Mapping):
        return None
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return choices if isinstance(choices, list) else None


def _same(value: Any, choice: Any) -> bool:
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)


def _types_of_value(value: Any) -> frozenset[str]:
    match value:
        case bool():
            return frozenset({"boolean"})
        case None:
            return frozenset({"null"})
        case int():
            return frozenset({"integer", "number"})
        case float():
            return frozenset({"number", "integer"} if value.is_integer() else {"number"})
        case str():
            return frozenset({"string"})
        case list():
            return frozenset({"array"})
        case _:
            return frozenset({"object"})
