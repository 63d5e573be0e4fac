"""Grammars of values in notations other than JSON, from the JSON schemas of tools.

All that they accept is valid; where a keyword only allows more (as additional properties do), what
is accepted may be less than the schema allows. What cannot be enforced is refused by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.typed import resolved, types_of
from pyslm.chat.tools import Tool
from pyslm.errors import InvalidRequestError
from pyslm.grammar.json_schema import ANNOTATIONS, json_schema_grammar

__all__ = [
    "SchemaWriter",
    "choices_of",
    "declared_parameters",
    "refuse_other_keywords",
    "with_definitions",
]

SEPARATOR = '", "'
_DEFINITIONS = ("$defs", "definitions")
_PASSED = ANNOTATIONS | {*_DEFINITIONS, "$schema", "$id", "id", "$anchor", "type"}
_ANYTHING = ("string", "number", "boolean", "null", "array", "object")


class SchemaWriter(ABC):
    """Writes rules for one tool's schema. A notation says how its strings and keys look."""

    words: ClassVar[Mapping[Any, str]] = {True: "True", False: "False", None: "None"}

    def __init__(self, lark: Lark, root: Mapping[str, Any]) -> None:
        json_schema_grammar(root)  # refuses what is no schema, or not known
        self.lark = lark
        self.root = root
        self._references: dict[str, str] = {}

    @abstractmethod
    def string(self, schema: Mapping[str, Any]) -> str:
        """A string within the bounds of `schema`."""

    @abstractmethod
    def key(self, name: str | None) -> str:
        """The key of an object's member; None: any key."""

    @abstractmethod
    def written_string(self, text: str) -> str:
        """Exactly this string."""

    def value(self, schema: Any) -> str:
        """A value that `schema` allows, as an expression."""
        if not isinstance(schema, Mapping):
            schema = {}
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema["$ref"])
        choices = choices_of(schema)
        if choices is not None:
            return self.lark.any_of(map(self.written, choices))
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema:
                return self._combination(schema, keyword)
        types = schema.get("type", _ANYTHING)
        names = [types] if isinstance(types, str) else list(types)
        if set(names) == set(_ANYTHING) and not schema:
            return self._anything()
        bodies = [self._of_type(name, schema) for name in names]
        return bodies[0] if len(bodies) == 1 else self.lark.any_of(bodies)

    def written(self, value: Any) -> str:
        """Exactly this value."""
        if isinstance(value, str):
            return self.written_string(value)
        if isinstance(value, bool) or value is None:
            return self.lark.text(self.words[value])
        if isinstance(value, Mapping):
            members = (f'{self.key(k)} ":" {self.written(v)}' for k, v in value.items())
            return f'"{{" {_joined(members)} "}}"'
        if isinstance(value, Sequence):
            return f'"[" {_joined(map(self.written, value))} "]"'
        return self.lark.json({"const": value})

    def _of_type(self, name: str, schema: Mapping[str, Any]) -> str:
        match name:
            case "string":
                return self.string(schema)
            case "integer" | "number":
                return self.lark.json({**schema, "type": name})
            case "boolean":
                return f"({self.lark.text(self.words[True])} | {self.lark.text(self.words[False])})"
            case "null":
                return self.lark.text(self.words[None])
            case "array":
                return self._array(schema)
            case "object":
                return f'"{{" {self.members(schema)} "}}"'
        raise InvalidRequestError(f"json_schema: there is no type {name!r:.80}")

    def _array(self, schema: Mapping[str, Any]) -> str:
        fewest, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        if "prefixItems" in schema or isinstance(schema.get("items"), list):
            return self._tuple(schema, fewest, most)
        if most == 0 or schema.get("items") is False:
            return '"[" "]"'
        item = self.lark.rule("item", self.value(schema.get("items", {})))
        further = f'(", " {item}){{{max(fewest - 1, 0)},{"" if most is None else int(most) - 1}}}'
        items = item if most == 1 else f"{item} {further}"
        return f'"[" {items} "]"' if fewest else f'"[" ({items})? "]"'

    def _tuple(self, schema: Mapping[str, Any], fewest: int, most: Any) -> str:
        """The items that have a schema each, and no more."""
        parts = schema.get("prefixItems", schema.get("items"))
        parts = parts[: len(parts) if most is None else int(most)]
        if fewest > len(parts):
            raise InvalidRequestError(
                f"json_schema: minItems {fewest} with {len(parts)} prefixItems cannot be enforced "
                "in this notation; supported: as many as there are prefixItems"
            )
        items = '""'
        for index, part in reversed(list(enumerate(parts))):
            item = f"{'' if index == 0 else SEPARATOR} {self.value(part)} {items}"
            items = self.lark.rule("items", item if index < fewest else f'{item} | ""')
        return f'"[" {items} "]"'

    def arguments(self, tool: Tool, key: Callable[[str], str], assign: str) -> str:
        """The arguments of a call, with commas between."""
        return self.members(declared_parameters(tool), key, assign)

    def members(
        self,
        schema: Mapping[str, Any],
        key: Callable[[str], str] | None = None,
        assign: str = '":"',
    ) -> str:
        """The members of an object, with commas between, in the order of the schema."""
        extra = schema.get("additionalProperties", {})
        required = list(schema.get("required", ()))
        properties = dict(schema.get("properties", {}))
        properties |= {name: extra for name in required if name not in properties}
        self._check_counts(schema, len(properties))
        if not properties:
            return '""' if extra is False else self._map(schema, extra, assign)
        members = {
            name: self.lark.rule("member", f"{(key or self.key)(name)} {assign} {self.value(part)}")
            for name, part in properties.items()
            if part is not False
        }
        return self._sequence(members, set(required))

    def _check_counts(self, schema: Mapping[str, Any], num_properties: int) -> None:
        fewest, most = schema.get("minProperties", 0), schema.get("maxProperties", num_properties)
        if "patternProperties" in schema or (
            num_properties and (fewest > len(schema.get("required", ())) or most < num_properties)
        ):
            raise InvalidRequestError(
                "json_schema: patternProperties, minProperties and maxProperties cannot be "
                "enforced in this notation beside properties; list those that are required"
            )

    def _map(self, schema: Mapping[str, Any], value: Any, assign: str) -> str:
        """Members with keys of any kind."""
        fewest, most = int(schema.get("minProperties", 0)), schema.get("maxProperties")
        if most == 0:
            return '""'
        member = self.lark.rule("member", f"{self.key(None)} {assign} {self.value(value)}")
        more = f"({SEPARATOR} {member})" + ("*" if most is None else f"{{0,{int(most) - 1}}}")
        members = member if most == 1 else f"{member} {more}"
        return members if fewest else f"({members})?"

    def _sequence(self, members: Mapping[str, str], required: set[str]) -> str:
        """Members in order, those not required left out at will; from the last to the first."""
        first, further = '""', '""'  # what may follow before and after a first member
        for name, member in reversed(list(members.items())):
            option = "" if name in required else f" | {further}"
            begun = f"{member} {further}"
            if name in required:
                first = self.lark.rule("first", begun)
            else:
                first = self.lark.rule("first", f"{begun} | {first}")
            further = self.lark.rule("further", f'", " {member} {further}{option}')
        return first

    def _combination(self, schema: Mapping[str, Any], keyword: str) -> str:
        branches = schema[keyword]
        refuse_other_keywords(schema, {keyword})
        if keyword == "allOf" and len(branches) > 1:
            raise InvalidRequestError("json_schema: allOf cannot be enforced in this notation")
        if keyword == "oneOf":
            types = [types_of(branch, self.root) for branch in branches]
            if sum(map(len, types)) > len(frozenset().union(*types)):
                raise InvalidRequestError(
                    "json_schema: oneOf of one type cannot be enforced in this notation; use anyOf"
                )
        return self.lark.any_of(map(self.value, branches))

    def _reference(self, reference: str) -> str:
        if reference not in self._references:
            target = resolved({"$ref": reference}, self.root)
            rule = self._references[reference] = self.lark.named("reference")
            self.lark.define(rule, self.value(target))
        return self._references[reference]

    def _anything(self) -> str:
        rule = self._references.get("")
        if rule is None:
            rule = self._references[""] = self.lark.named("anything")
            bodies = [self._of_type(name, {}) for name in _ANYTHING]
            self.lark.define(rule, " | ".join(bodies))
        return rule


def _joined(parts: Any) -> str:
    return ' ", " '.join(parts) or '""'


def declared_parameters(tool: Tool) -> dict[str, Any]:
    """The schema of a tool's arguments, where each parameter has to be written in a place of its
    own: those that nobody declared are left out.

    Raises:
        InvalidRequestError: its parameters are not listed, but given by a combination.
    """
    schema = dict(resolved(tool.argument_schema(), tool.parameters))
    refuse_other_keywords(schema, {"properties", "required", "additionalProperties"})
    if not schema.get("properties") and not schema.get("required"):
        schema["additionalProperties"] = False
    return schema


def choices_of(schema: Mapping[str, Any]) -> list[Any] | None:
    """The only values that a schema allows, if it lists them."""
    if "const" in schema:
        return [schema["const"]]
    choices = schema.get("enum")
    return list(choices) if isinstance(choices, Sequence) else None


def refuse_other_keywords(schema: Mapping[str, Any], known: set[str]) -> None:
    """Raises InvalidRequestError for keywords that would not be enforced."""
    for keyword in schema:
        if keyword not in _PASSED and keyword not in known and not keyword.startswith("x-"):
            raise InvalidRequestError(
                f"json_schema: {keyword} beside {', '.join(sorted(known))} cannot be enforced "
                "in this notation"
            )


def with_definitions(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a schema that can stand alone."""
    return {**{key: root[key] for key in _DEFINITIONS if key in root}, **schema}
