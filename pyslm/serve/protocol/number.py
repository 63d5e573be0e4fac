"""Numbers in what clients send: what is no number in JSON is none here.

By itself pydantic takes true for 1 and "0.5" for 0.5, so that a request would run with a number
that nobody wrote. Whole floats are whole numbers, though: some languages have no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = [
    "Integer",
    "Integers",
    "Number",
    "NumberSchema",
    "Off",
    "TokenIds",
    "a_number",
    "each_a_number",
]

_NOT_NUMBERS = (bool, str)
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


def _a_number(value: Any) -> Any:
    if isinstance(value, _NOT_NUMBERS):
        raise ValueError("allowed: a whole number")
    return value


def _a_boolean(value: Any) -> Any:
    if value is not None and not isinstance(value, bool):
        raise ValueError("allowed: false")
    return value


def _each_a_number(values: Any) -> Any:
    if isinstance(values, list) and not {*map(type, values)}.isdisjoint(_NOT_NUMBERS):
        raise ValueError("allowed: a list of whole numbers")
    return values


a_number = BeforeValidator(_a_number)
"""Of what is no `Integer` and yet a number."""

Integer = Annotated[int, a_number]
"""A whole number: 5 or 5.0, but not true or "5"."""

Number = Annotated[float, Field(strict=True)]
"""A number: 0.5 or 1, but not true or "0.5"."""

Off = Annotated[Literal[False], BeforeValidator(_a_boolean)]
"""False, and not 0."""

each_a_number = BeforeValidator(_each_a_number)
"""Of a list of int, which may be long: each is an `Integer`, without a call for each of them."""

Integers = Annotated[list[int], each_a_number]
TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], each_a_number]


class NumberSchema(GenerateJsonSchema):
    """JSON schema that names the bounds of an `Integer` in JSON schema's words, not pydantic's."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """The JSON schema of a part."""
        return super().generate_inner(_with_bounds(schema))


def _with_bounds(schema: CoreSchema) -> CoreSchema:
    metadata: Mapping[str, Any] = schema.get("metadata") or {}
    updates = metadata.get("pydantic_js_updates")
    if not isinstance(updates, dict) or updates.keys().isdisjoint(_BOUNDS):
        return schema
    renamed = {_BOUNDS.get(name, name): bound for name, bound in updates.items()}
    changed: Any = {**schema, "metadata": {**metadata, "pydantic_js_updates": renamed}}
    return changed  # type: ignore[no-any-return]
