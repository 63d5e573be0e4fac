"""JSON schemas as pydantic writes them, made fit for models."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

__all__ = ["ArgumentsSchema", "for_models"]


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
