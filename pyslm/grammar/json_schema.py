"""JSON schemas, checked before llguidance sees them.

llguidance refuses the keywords that it knows and cannot enforce, and passes over those that it does
not know. Here a keyword is either enforced, or known to be a mere annotation, or refused by name.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, TypeGuard

from pyslm.errors import InvalidRequestError

__all__ = ["ANNOTATIONS", "ENFORCED", "JSON_OPTIONS", "json_schema_grammar"]

ENFORCED = frozenset({
    "$anchor", "$defs", "$id", "$ref", "$schema", "additionalItems", "additionalProperties",
    "allOf", "anyOf", "const", "definitions", "enum", "exclusiveMaximum", "exclusiveMinimum",
    "format", "id", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems",
    "minLength", "minProperties", "minimum", "multipleOf", "oneOf", "pattern", "patternProperties",
    "prefixItems", "properties", "required", "type",
})  # fmt: skip

ANNOTATIONS = frozenset({
    "$comment", "contentEncoding", "contentMediaType", "contentSchema", "default", "deprecated",
    "description", "discriminator", "example", "examples", "externalDocs", "readOnly", "title",
    "writeOnly", "xml",
})  # fmt: skip
"""Keywords that say nothing on validity: left out. So is every keyword that begins with "x-"."""

_ENFORCED_FORMATS = frozenset({
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "unknown", "uri",
    "uuid",
})  # fmt: skip
_ANNOTATING_FORMATS = frozenset({
    "binary", "byte", "directory-path", "double", "file-path", "float", "int32", "int64", "path",
    "password",
})  # fmt: skip
"""Of OpenAPI and pydantic: they say no more on validity than the type, and are left out."""

_SCHEMA_MAPS = frozenset({"$defs", "definitions", "patternProperties", "properties"})
_SCHEMA_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SCHEMAS = frozenset({"additionalItems", "additionalProperties", "items"})

JSON_OPTIONS = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
"""White space: at most one space, after a comma or a colon; so a model cannot write blanks for
ever, and its usual `{"a": 1, "b": 2}` is not broken up."""

_EXACT = 2**53
_DIGITS = 14  # llguidance 1.9 compares no more than that with certainty

MAX_DEPTH = 64
MAX_BYTES = 256 << 10


def json_schema_grammar(schema: Mapping[str, Any] | bool | str) -> str:
    """The schema as llguidance takes it.

    Args:
        schema: a JSON schema (drafts 4 to 2020-12), or its JSON text.

    Raises:
        InvalidRequestError: it is not a schema, too large or too deep, or has a keyword that would
            not be enforced; the message names the keyword and where it stands.
    """
    if isinstance(schema, str):
        schema = _parse(schema)
    kept = _kept(schema, "#", 0)
    if kept is False:
        raise InvalidRequestError("json_schema is false: no output could be valid")
    root = {} if kept is True else dict(kept)
    try:
        text = json.dumps({"x-guidance": JSON_OPTIONS, **root}, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"json_schema cannot be written as JSON: {error}") from None
    if size > MAX_BYTES:
        raise InvalidRequestError(f"json_schema has {size} bytes; allowed: at most {MAX_BYTES}")
    return text


def _parse(text: str) -> Any:
    if len(text) > MAX_BYTES:
        raise InvalidRequestError(
            f"json_schema has {len(text)} characters; allowed: at most {MAX_BYTES}"
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"json_schema is not JSON: {error}") from None


def _kept(schema: Any, where: str, depth: int) -> Any:
    """The schema without its annotations."""
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, Mapping):
        raise InvalidRequestError(
            f"json_schema: {where} is {_shown(schema)}; allowed: an object, true or false"
        )
    if depth > MAX_DEPTH:
        raise InvalidRequestError(
            f"json_schema is nested deeper than {MAX_DEPTH} at {where[:200]}; "
            "name its parts in $defs and refer to them"
        )
    result = {}
    for keyword, value in schema.items():
        if keyword in ANNOTATIONS or (isinstance(keyword, str) and keyword.startswith("x-")):
            continue
        if keyword not in ENFORCED:
            raise InvalidRequestError(
                f"json_schema: the keyword {_shown(keyword)} at {where} is not supported; "
                f"supported are {', '.join(sorted(ENFORCED))}"
            )
        if keyword == "format" and _is_mere_annotation(value, where):
            continue
        result[keyword] = _kept_value(keyword, value, f"{where}/{keyword}", depth)
    _check_counts(result, where)
    _include_bounds(result, where)
    return result


def _kept_value(keyword: str, value: Any, where: str, depth: int) -> Any:
    if keyword in _SCHEMA_MAPS:
        if not isinstance(value, Mapping):
            raise InvalidRequestError(f"json_schema: {where} is {_shown(value)}, not an object")
        return {name: _kept(part, f"{where}/{name}", depth + 1) for name, part in value.items()}
    if keyword in _SCHEMA_LISTS or (keyword == "items" and _is_list(value)):
        if not _is_list(value):
            raise InvalidRequestError(f"json_schema: {where} is {_shown(value)}, not a list")
        return [_kept(part, f"{where}/{i}", depth + 1) for i, part in enumerate(value)]
    if keyword in _SCHEMAS:
        return _kept(value, where, depth + 1)
    return value


def _is_mere_annotation(format: Any, where: str) -> bool:
    if not isinstance(format, str) or format not in _ENFORCED_FORMATS | _ANNOTATING_FORMATS:
        raise InvalidRequestError(
            f"json_schema: the format {_shown(format)} at {where} is not supported; supported are "
            f"{', '.join(sorted(_ENFORCED_FORMATS))}"
        )
    return format in _ANNOTATING_FORMATS


def _check_counts(schema: Mapping[str, Any], where: str) -> None:
    """Keys outside `properties` may repeat, and then count once: only one is sure to be new."""
    fewest, required = schema.get("minProperties", 0), schema.get("required", ())
    if not isinstance(fewest, (int, float)) or not _is_list(required):
        return  # llguidance says what is wrong
    if fewest > len(set(map(str, required))) + 1:
        raise InvalidRequestError(
            f"json_schema: minProperties at {where} is {fewest}, with {len(required)} required; "
            "supported: at most one more than are required"
        )


def _include_bounds(schema: dict[str, Any], where: str) -> None:
    """Exclusive bounds become inclusive ones, a little further in. Who reads
    -1.49999999999999999999 of a schema with "exclusiveMinimum": -1.5 has -1.5 in hand; and
    llguidance 1.9 lets a whole number through as its own exclusive bound, where the other bound is
    less than one away."""
    is_whole = schema.get("type") == "integer"
    for exclusive, inclusive, sign, tighter in (
        ("exclusiveMinimum", "minimum", 1, max),
        ("exclusiveMaximum", "maximum", -1, min),
    ):
        bound = schema.get(exclusive)
        if not _is_number(bound) or abs(bound) >= _EXACT:  # such are read as they are written
            continue
        if bound == 0 and not (is_whole or _is_narrow(schema)):
            continue  # numbers as near to 0 as one likes; only of 300 digits they are read as 0
        if 0 < abs(bound) < sys.float_info.min:
            raise InvalidRequestError(
                f"json_schema: {exclusive} {bound} at {where} cannot be enforced; supported: 0, "
                f"and bounds from {sys.float_info.min} away from it"
            )
        other = schema.get(inclusive, bound)
        if _is_number(other):
            del schema[exclusive]
            schema[inclusive] = tighter(other, _beside(bound, sign, is_whole))


def _is_narrow(schema: Mapping[str, Any]) -> bool:
    """Whether some other bound is less than 1 away from 0."""
    names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    return any(_is_number(x) and 0 < abs(x) < 1 for x in map(schema.get, names))


def _beside(bound: float, sign: int, is_whole: bool) -> float:
    """The next whole number, or the next of so few digits that no other reads as the same
    double."""
    if is_whole:
        return math.floor(bound) + 1 if sign > 0 else math.ceil(bound) - 1
    exact = Decimal(repr(bound))
    step = Decimal(1).scaleb((exact.adjusted() if exact else 0) - _DIGITS + 1)
    rounding = ROUND_CEILING if sign > 0 else ROUND_FLOOR
    return float((exact + sign * step).quantize(step, rounding))


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
