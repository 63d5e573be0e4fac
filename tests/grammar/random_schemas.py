"""Random JSON schemas whose outputs are bounded, of everything that is enforced."""

from __future__ import annotations

import random
from typing import Any

Schema = dict[str, Any]

WORDS = ["a", "b", "name", "id", "x y", "é", 'q"uote', "back\\slash", "tab\t", "日本", "$ref", ""]
PATTERNS = ["^[a-c]{1,4}$", "^\\d{3}-\\d{2}$", "^(yes|no)$", "ab", "^[^a]{2}$", "^x?y*z{0,2}$"]
FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "ipv6", "email", "hostname"]


def random_schema(rng: random.Random, depth: int = 3) -> Schema:
    """A schema with annotations here and there, and $defs at its root."""
    if rng.random() < 0.15:
        name = rng.choice(["item", "a/b", "~"])
        pointer = name.replace("~", "~0").replace("/", "~1")
        definition = _schema(rng, depth - 1)
        inner: Schema = {"$ref": f"#/$defs/{pointer}"}
        root = rng.choice([
            {"type": "array", "items": inner, "maxItems": 3},
            {"type": "object", "properties": {"one": inner, "two": inner}, "required": ["one"],
             "additionalProperties": False},
        ])  # fmt: skip
        return {"$defs": {name: definition}, **root}
    return _schema(rng, depth)


def _schema(rng: random.Random, depth: int) -> Schema:
    leaves = [_integer, _number, _string, _constant, _enum, _simple, _types]
    branches = [_array, _object, _map, _tuple, _any_of, _all_of]
    make = rng.choice(leaves if depth <= 0 else leaves + branches * 2)
    schema = make(rng, depth - 1)
    if rng.random() < 0.2:
        schema |= {"title": "T", "description": "d", "x-order": 3, "deprecated": True}
    return schema


def _integer(rng: random.Random, _: int) -> Schema:
    low = rng.choice([0, -5, -1000, 17, -(10**6)])
    high = low + rng.choice([0, 1, 9, 250, 10**6])
    bounds: Schema = rng.choice([
        {"minimum": low, "maximum": high},
        {"exclusiveMinimum": low - 1, "maximum": high},
        {"minimum": low, "exclusiveMaximum": high + 1},
    ])  # fmt: skip
    return {"type": "integer", **bounds}


def _number(rng: random.Random, _: int) -> Schema:
    low = rng.choice([0, -1.5, 2.25, -100])
    high = low + rng.choice([0.5, 1, 1000])
    return {"type": "number", rng.choice(["minimum", "exclusiveMinimum"]): low, "maximum": high}


def _string(rng: random.Random, _: int) -> Schema:
    kind = rng.random()
    if kind < 0.25:
        return {"type": "string", "pattern": rng.choice(PATTERNS), "maxLength": 12}
    if kind < 0.45:
        return {"type": "string", "format": rng.choice(FORMATS)}
    shortest = rng.randint(0, 3)
    return {"type": "string", "minLength": shortest, "maxLength": shortest + rng.randint(0, 8)}


def _value(rng: random.Random) -> Any:
    return rng.choice([
        None, True, 0, -3, 12.5, 10**12, rng.choice(WORDS), [], [1, "two"], {"k": {"v": None}},
    ])  # fmt: skip


def _constant(rng: random.Random, _: int) -> Schema:
    return {"const": _value(rng)}


def _enum(rng: random.Random, _: int) -> Schema:
    return {"enum": [_value(rng) for _ in range(rng.randint(1, 4))]}


def _simple(rng: random.Random, _: int) -> Schema:
    return {"type": rng.choice(["null", "boolean"])}


def _types(rng: random.Random, _: int) -> Schema:
    return {"type": ["null", "string", "boolean"], "maxLength": rng.randint(0, 5)}


def _array(rng: random.Random, depth: int) -> Schema:
    fewest = rng.randint(0, 2)
    return {
        "type": "array",
        "items": _schema(rng, depth),
        "minItems": fewest,
        "maxItems": fewest + rng.randint(0, 2),
    }


def _tuple(rng: random.Random, depth: int) -> Schema:
    parts = [_schema(rng, depth) for _ in range(rng.randint(1, 3))]
    return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}


def _object(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(WORDS, rng.randint(0, 4))
    return {
        "type": "object",
        "properties": {name: _schema(rng, depth) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
        "additionalProperties": False,
    }


def _map(rng: random.Random, depth: int) -> Schema:
    schema: Schema = {"type": "object", "maxProperties": rng.randint(0, 2)}
    if rng.random() < 0.5:
        schema["additionalProperties"] = _schema(rng, depth)
    else:
        schema |= {"patternProperties": {"^k[0-9]$": _schema(rng, depth)}}
        schema["additionalProperties"] = False
    if rng.random() < 0.3 and schema["maxProperties"] > 0:
        schema["minProperties"] = 1
    return schema


def _any_of(rng: random.Random, depth: int) -> Schema:
    return {"anyOf": [_schema(rng, depth) for _ in range(rng.randint(1, 3))]}


def _all_of(rng: random.Random, depth: int) -> Schema:
    return {
        "type": "object",
        "allOf": [
            {"properties": {"left": _schema(rng, depth)}, "required": ["left"]},
            {"properties": {"right": _schema(rng, depth), "left": True}},
        ],
        "properties": {"left": True, "right": True},
        "additionalProperties": False,
    }
