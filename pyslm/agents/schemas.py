"""JSON schemas of tools, made fit for models and for the grammars that hold models to them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import llguidance
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from pyslm.errors import InvalidRequestError
from pyslm.grammar.json_schema import json_schema_grammar

__all__ = ["ArgumentsSchema", "for_models", "unenforceable", "without_other_formats"]

_DEFINITIONS = ("$defs", "definitions")
_SCHEMA_MAPS = (*_DEFINITIONS, "properties", "patternProperties")
_VALUES = ("const", "default", "enum", "examples")


# What JSON Schema's formats allow and Python's types do not: the year 0, leap seconds, durations of
# any number of digits.
_DATE = "^[12]"
_TIME = "^.{6}[0-5]"
_DATE_TIME = "^[12].{16}[0-5]"
_DURATION = r"^P(\d{1,4}D(T\d{1,4}[HMS])?|T\d{1,4}H(\d{1,4}M)?|T\d{1,5}[MS])$"
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


class ArgumentsSchema(GenerateJsonSchema):
    """What a schema allows, the type takes; and a grammar can enforce it. Fields get no titles,
    which say nothing and cost prompt tokens."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 (theirs)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def date_schema(self, schema: Any) -> JsonSchemaValue:
        return super().date_schema(schema) | {"pattern": _DATE}

    def time_schema(self, schema: Any) -> JsonSchemaValue:
        return super().time_schema(schema) | {"pattern": _TIME}

    def datetime_schema(self, schema: Any) -> JsonSchemaValue:
        return super().datetime_schema(schema) | {"pattern": _DATE_TIME}

    def timedelta_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ARG002
        return {"type": "string", "format": "duration", "pattern": _DURATION}

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        """A number; pydantic's own also allows texts, most of which are none."""
        bounds = {_BOUNDS[key]: float(schema[key]) for key in _BOUNDS if key in schema}
        return {"type": "number", **bounds}

    def bytes_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ARG002
        return {"type": "string"}

    def set_schema(self, schema: Any) -> JsonSchemaValue:
        """A list: what comes twice counts once, in any case."""
        return _without(super().set_schema(schema), "uniqueItems")

    def frozenset_schema(self, schema: Any) -> JsonSchemaValue:
        return _without(super().frozenset_schema(schema), "uniqueItems")


def _without(schema: JsonSchemaValue, key: str) -> JsonSchemaValue:
    return {name: value for name, value in schema.items() if name != key}


def for_models(schema: dict[str, Any]) -> dict[str, Any]:
    """Without titles; and objects have the properties that are listed, and no others: a model that
    may add some will."""
    definitions = schema.get("$defs")
    parts = [schema, *(definitions.values() if isinstance(definitions, dict) else ())]
    for part in parts:
        if not isinstance(part, dict):  # `true` is a schema, too
            continue
        part.pop("title", None)
        if "properties" in part:
            part.setdefault("additionalProperties", False)
    return schema


def without_other_formats(schema: Any) -> Any:
    """The schema without the formats that no grammar is known for, as pydantic's "path" or
    "uuid4": for those whose values are checked by other means as well."""
    if isinstance(schema, list):
        return [without_other_formats(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: part if key in _VALUES else without_other_formats(part) for key, part in schema.items()
    }
    name = kept.get("format")
    if isinstance(name, str) and _told(json.dumps({"type": "string", "format": name})):
        del kept["format"]
    return kept


def unenforceable(schema: Mapping[str, Any]) -> str | None:
    """What it is in a schema that fails every request it is a part of, since no grammar can be made
    of it: the keyword, where it stands, and why; None: nothing. (Keywords that the grammar knows
    it cannot enforce are no such thing: they are left to the check of arguments.)"""
    problem = _problem(schema)
    if problem is None:
        return None
    definitions = {key: schema[key] for key in _DEFINITIONS if key in schema}
    found = [(where, *item) for where, part in _parts(schema, "#") for item in part.items()]
    found.sort(key=lambda each: _suspicion(each[1], each[2]))
    for where, keyword, value in found:
        alone = _problem({keyword: value, **definitions})
        if alone is not None and keyword not in _DEFINITIONS:
            return f"{keyword} at {where} is {value!r:.80}: {alone}"
    return problem


def _suspicion(keyword: str, value: Any) -> int:
    """What is at fault itself comes first, then what refers to it, then what holds it."""
    if keyword == "$ref":
        return 1
    return 2 if keyword != "oneOf" and isinstance(value, (Mapping, list)) else 0


def _problem(schema: Mapping[str, Any]) -> str | None:
    try:
        return _told(json_schema_grammar(schema)) or None
    except InvalidRequestError:
        return None


def _told(schema: str) -> str:
    """What llguidance has against a schema; empty: nothing."""
    source = llguidance.LLMatcher.grammar_from_json_schema(schema)
    return " ".join(llguidance.LLMatcher.validate_grammar(source, None).split())[:200]


def _parts(schema: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schemas in a schema, the innermost first."""
    if isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from _parts(part, f"{where}/{index}")
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        if keyword in _SCHEMA_MAPS and isinstance(value, Mapping):
            for name, part in value.items():
                yield from _parts(part, f"{where}/{keyword}/{name}")
        elif keyword not in _VALUES:
            yield from _parts(value, f"{where}/{keyword}")
    yield where, schema
