"""Which JSON schemas are taken, and how the others are refused: by name."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest
from guided_drive import Guided, parse

from pyslm import InvalidRequestError, SamplingParams
from pyslm.grammar import json_schema_grammar
from pyslm.grammar.json_schema import ANNOTATIONS, ENFORCED, MAX_DEPTH

# The validation keywords of draft 2020-12 and of the drafts before it that are not enforced.
NOT_ENFORCED = {
    "uniqueItems": True, "not": {}, "if": {}, "then": {}, "else": {}, "contains": {},
    "minContains": 1, "maxContains": 1, "dependentRequired": {}, "dependentSchemas": {},
    "dependencies": {}, "propertyNames": {}, "unevaluatedItems": False,
    "unevaluatedProperties": False, "$dynamicRef": "#a", "$recursiveRef": "#", "nullable": True,
    "uniqeItems": True, "minlength": 3,
}  # fmt: skip


@pytest.mark.parametrize("keyword", NOT_ENFORCED)
@pytest.mark.parametrize("place", ["root", "property", "item", "definition", "branch"])
def test_keywords_that_are_not_enforced_are_refused_by_name(keyword: str, place: str) -> None:
    inner = {"type": "array", keyword: NOT_ENFORCED[keyword]}
    schema, where = {
        "root": (inner, "#"),
        "property": ({"type": "object", "properties": {"a": inner}}, "#/properties/a"),
        "item": ({"items": inner}, "#/items"),
        "definition": ({"$defs": {"d": inner}, "$ref": "#/$defs/d"}, r"#/\$defs/d"),
        "branch": ({"anyOf": [{"type": "null"}, inner]}, "#/anyOf/1"),
    }[place]
    pattern = f"keyword '{keyword.replace('$', '[$]')}' at {where} is not supported; supported are"
    with pytest.raises(InvalidRequestError, match=pattern):
        SamplingParams(json_schema=schema)


# Schemas under which outputs would almost surely be invalid, were the keyword passed over.
DIGITS = {"type": "integer", "minimum": 0, "maximum": 9}
TELLING: dict[str, Any] = {
    "$defs": {"$defs": {"d": DIGITS}, "$ref": "#/$defs/d"},
    "$ref": {"$defs": {"d": {"const": "x"}}, "type": "string", "$ref": "#/$defs/d"},
    "definitions": {"definitions": {"d": DIGITS}, "$ref": "#/definitions/d"},
    "additionalItems": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "array", "items": [DIGITS], "additionalItems": {"type": "null"}, "maxItems": 4,
    },
    "additionalProperties": {
        "type": "object", "additionalProperties": {"type": "null"}, "maxProperties": 2,
    },
    "allOf": {"type": "integer", "allOf": [{"minimum": 1000}, {"maximum": 1100}]},
    "anyOf": {"type": "string", "anyOf": [{"const": "a"}, {"const": "b"}]},
    "const": {"const": {"a": [1, None]}},
    "enum": {"enum": ["x", 17, [True]]},
    "exclusiveMaximum": {"type": "integer", "minimum": 0, "exclusiveMaximum": 2},
    "exclusiveMinimum": {"type": "integer", "exclusiveMinimum": 0, "maximum": 2},
    "format": {"type": "string", "format": "ipv4", "pattern": "^[0-9.]*$"},
    "items": {"type": "array", "items": {"const": 5}, "minItems": 1, "maxItems": 3},
    "maxItems": {"type": "array", "items": DIGITS, "minItems": 2, "maxItems": 2},
    "maxLength": {"type": "string", "maxLength": 2},
    "maxProperties": {"type": "object", "additionalProperties": DIGITS, "maxProperties": 0},
    "maximum": {"type": "integer", "minimum": 0, "maximum": 1},
    "minItems": {"type": "array", "items": DIGITS, "minItems": 5, "maxItems": 6},
    "minLength": {"type": "string", "minLength": 9, "maxLength": 12},
    "minProperties": {
        "type": "object", "additionalProperties": DIGITS, "minProperties": 1, "maxProperties": 1,
    },
    "minimum": {"type": "integer", "minimum": 5000, "maximum": 5100},
    "multipleOf": {"type": "integer", "multipleOf": 37, "minimum": 0, "maximum": 400},
    "oneOf": {"oneOf": [DIGITS, {"type": "boolean"}]},
    "pattern": {"type": "string", "pattern": "^z{3}$"},
    "patternProperties": {
        "type": "object", "patternProperties": {"^[a-z]{1,2}$": DIGITS},
        "additionalProperties": False, "minProperties": 1, "maxProperties": 1,
    },
    "prefixItems": {"type": "array", "prefixItems": [DIGITS], "items": False, "minItems": 1},
    "properties": {"properties": {"a": {"const": 1}}, "type": "object", "required": ["a"],
                   "additionalProperties": False},
    "required": {"properties": {"a": DIGITS}, "type": "object", "required": ["a"],
                 "additionalProperties": False},
    "type": {"type": "boolean"},
}  # fmt: skip
NAMES = {"$anchor", "$id", "$schema", "id"}  # of schemas


def test_every_keyword_taken_is_tested() -> None:
    assert set(TELLING) == ENFORCED - NAMES
    assert not ENFORCED & ANNOTATIONS


@pytest.mark.parametrize("keyword", TELLING)
def test_keywords_that_are_taken_are_enforced(keyword: str) -> None:
    schema = TELLING[keyword]
    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(schema)
    guided = Guided()
    requests = [guided.add("json_schema", schema, seed=seed) for seed in range(25)]
    guided.run()
    updates = [guided.engine.poll(request) for request in requests]
    assert {update.finish for update in updates} <= {"stop", "length"}
    finished = [update for update in updates if update.finish == "stop"]
    assert len(finished) > 10
    for update in finished:
        validator.validate(parse(update.bytes))


@pytest.mark.parametrize(
    "bounds",
    [
        {"exclusiveMinimum": -1.5, "maximum": -0.5},
        {"exclusiveMinimum": 1, "maximum": 1.5},
        {"exclusiveMaximum": 100, "minimum": 99, "type": "number"},
        {"minimum": -8, "exclusiveMinimum": -0.25, "exclusiveMaximum": -0.2},
        {"exclusiveMinimum": 0.3},
        {"exclusiveMinimum": 0, "maximum": 0.5},
        {"exclusiveMaximum": 0, "exclusiveMinimum": -0.25, "type": "number"},
    ],
    ids=str,
)
def test_exclusive_bounds_hold_for_who_reads_doubles(bounds: dict[str, Any]) -> None:
    """Of many nines or zeros all are rounded to the bound (-1.49999999999999995999..., as one of
    33,334 random calls had it)."""
    schema = {"type": "number", **bounds}
    guided = Guided()
    requests = [
        guided.add("json_schema", schema, seed=seed, max_tokens=40, logit_bias={ord(digit): bias})
        for seed in range(20)
        for digit in "09"
        for bias in (4.0, 8.0, 16.0)
    ]
    guided.run()
    texts = [guided.engine.poll(request).bytes.decode() for request in requests]
    numbers = [text for text in texts if text[-1].isdigit()]  # else the last token was cut off
    assert max(map(len, numbers)) > 16
    for text in numbers:
        jsonschema.validate(json.loads(text), schema)


@pytest.mark.parametrize("exponent", [-60, -12, -7, -4, 0, 4, 8, 15])
def test_exclusive_bounds_of_all_sizes_hold(exponent: int) -> None:
    rng = random.Random(exponent)
    num_ended = 0
    for _ in range(6):
        bound = float(f"{rng.choice([-1, 1]) * rng.uniform(1, 9.9):.3f}e{exponent}")
        away = abs(bound) * rng.choice([1e-9, 1e-3, 0.5, 10.0])
        schema = rng.choice([
            {"exclusiveMinimum": bound, "maximum": bound + away},
            {"minimum": bound - away, "exclusiveMaximum": bound},
        ])  # fmt: skip
        guided = Guided()
        update = guided.one("json_schema", {"type": "number", **schema}, seed=rng.randrange(1000))
        if update.finish == "stop":
            num_ended += 1
            jsonschema.validate(json.loads(update.bytes), schema)
    assert num_ended >= 3


def test_annotations_say_nothing_on_validity() -> None:
    schema = {
        "format": "int64", "title": "T",
        "x-anything": {"not": 1}, "deprecated": True, "examples": [1], "default": {},
        "type": "object", "discriminator": {"propertyName": "title"}, "required": ["title"],
        "properties": {"title": {"const": "x", "description": "d"}, "not": {"type": "null"}},
        "additionalProperties": False,
    }  # fmt: skip
    text = Guided().one("json_schema", schema).bytes
    assert parse(text) in ({"title": "x"}, {"title": "x", "not": None})


def test_users_cannot_reach_the_library_options() -> None:
    sent = json.loads(json_schema_grammar({"x-guidance": {"lenient": True}, "type": "null"}))
    assert sent["x-guidance"] == {
        "whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (3, "# is 3; allowed"),
        (0, "# is 0; allowed"),
        ([], r"# is \[\]; allowed"),
        (False, "no output could be valid"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("x" * 2_000_000, "characters; allowed"),
        ({"properties": [1]}, "#/properties is .*not an object"),
        ({"anyOf": {"a": 1}}, "#/anyOf is .*not a list"),
        ({"items": 5}, "#/items is 5"),
        ({"const": float("nan")}, "cannot be written"),
        ({"const": {1, 2}}, "cannot be written"),
        ({"const": "\ud800"}, "cannot be written"),
        ({"enum": ["x" * 2_000_000]}, "bytes; allowed"),
        ({"minProperties": 3, "required": ["a"]}, "minProperties at # is 3"),
        ({"items": {"exclusiveMinimum": 1e-320}}, "exclusiveMinimum 1e-320 at #/items cannot be"),
        ({"items": {"type": "string", "format": "ipv7"}}, "format 'ipv7' at #/items is not sup"),
        ({"type": "string", "format": ["date"]}, "format"),
    ],
)
def test_malformed_schemas_are_refused(schema: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        SamplingParams(json_schema=schema)


def test_deep_schemas_are_refused() -> None:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(MAX_DEPTH + 1):
        schema = {"items": schema}
    with pytest.raises(InvalidRequestError, match="nested deeper"):
        SamplingParams(json_schema=schema)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"$ref": "http://example.com/schema"}, "example.com"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum"),
        ({"type": "float"}, "float"),
    ],
)
def test_what_cannot_be_enforced_is_an_error_of_the_request(
    schema: dict[str, Any], message: str
) -> None:
    update = Guided().one("json_schema", schema)
    assert update.finish == "error"
    assert update.error_is_request
    assert message in update.error


def test_white_space_is_bounded() -> None:
    schema = {"type": "array", "items": {"type": "array", "items": DIGITS, "maxItems": 3},
              "minItems": 3, "maxItems": 3}  # fmt: skip
    guided = Guided()
    for seed in range(30):
        text = guided.one("json_schema", schema, seed=seed).bytes
        assert set(text) <= set(b"[]0123456789-, ")
        assert text.count(b" ") <= text.count(b",")
        assert b"  " not in text
