"""Whatever a format's grammar lets a model write is read as calls that the schemas allow."""

from __future__ import annotations

import json
import random
import re
from datetime import date
from typing import Any

import jsonschema
import pytest
from grammar_walk import Walker
from read_output import as_tokens, control_of, read

from pyslm.chat.reasoning import REASONING_STYLES
from pyslm.chat.tool_formats import tool_format, tool_format_names
from pyslm.chat.tools import tools_of
from pyslm.errors import InvalidRequestError

NAMES = tool_format_names()
FRAMES = {"harmony", "functionary"}


def tool(name: str, properties: dict[str, Any], required: list[str], **more: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required, **more}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    tool("now", {}, []),
    {"type": "function", "function": {"name": "bare"}},
    tool(
        "search",
        {
            "query": {"type": "string", "minLength": 1, "maxLength": 30, "description": "words"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 50},
            "order": {"enum": ["up", "down", 'q"uote']},
            "exact": {"type": "boolean", "default": False},
            "since": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        },
        ["query", "order"],
    ),
    tool(
        "book",
        {
            "when": {"type": "string", "format": "date-time"},
            "code": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"},
            "seats": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "maximum": 99},
                "minItems": 1,
                "maxItems": 3,
            },
            "who": {"$ref": "#/$defs/Person"},
            "price": {"type": "number", "minimum": 0, "maximum": 10},
            "kind": {"const": 3},
        },
        ["when", "who", "seats"],
        **{"$defs": {"Person": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
            "required": ["name"],
            "additionalProperties": False,
        }}},
    ),
    tool(
        "mixed",
        {
            "id": {"type": ["integer", "string"], "maximum": 5},
            "any": {},
            "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
            "choice": {"enum": [1, "one", None, True]},
        },
        ["id"],
    ),
]  # fmt: skip
SCHEMAS = {name: t.argument_schema() for name, t in tools_of(TOOLS).items()}


CHECKER = jsonschema.FormatChecker(())


@CHECKER.checks("date", raises=ValueError)
def is_date(value: Any) -> bool:  # llguidance takes the year 0 for one, Python does not
    return not isinstance(value, str) or bool(
        date.fromisoformat(value.replace("0000-", "2000-", 1))
    )


@CHECKER.checks("date-time", raises=ValueError)
def is_date_time(value: Any) -> bool:
    day, _, time = value.upper().partition("T")
    return is_date(day) and re.fullmatch(r"[0-9:.]+(Z|[+-][0-9:]+)", time) is not None


def validate(calls: list[tuple[str, Any]]) -> None:
    for name, arguments in calls:
        validator = jsonschema.Draft202012Validator(SCHEMAS[name], format_checker=CHECKER)
        validator.validate(arguments)


def walked(
    name: str, choice: str, seed: int, special: bool, begun: str = "", **options: Any
) -> Any:
    fmt = tool_format(name)
    style = options.get("reasoning")
    control = {m: 257 + i for i, m in enumerate(control_of(fmt, style))} if special else {}
    grammar = fmt.grammar(tools_of(TOOLS), choice, control=control, **options)
    assert grammar is not None
    pieces = Walker(control).walk(grammar, random.Random(seed), as_tokens(begun, control))
    options.pop("parallel", None)
    return read(fmt, pieces, tools=TOOLS, control=control, **options), pieces


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_required_calls_are_read_and_valid(name: str, special: bool) -> None:
    called: set[str] = set()
    for seed in range(12):
        result, pieces = walked(name, "required", seed, special)
        assert result.calls, pieces
        assert result.content == "", pieces
        validate(result.calls)
        called |= {called_name for called_name, _ in result.calls}
    assert len(called) >= 3


@pytest.mark.parametrize("tool_name", list(SCHEMAS))
@pytest.mark.parametrize("name", NAMES)
def test_a_named_tool_is_called_once(name: str, tool_name: str) -> None:
    for seed in range(4):
        result, pieces = walked(name, tool_name, seed, special=True, parallel=False)
        assert [called for called, _ in result.calls] == [tool_name], pieces
        assert result.content == ""
        validate(result.calls)


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_auto_gives_text_or_valid_calls(name: str, special: bool) -> None:
    fmt = tool_format(name)
    for seed in range(8):
        result, pieces = walked(name, "auto", seed, special)
        validate(result.calls)
        if not result.calls and not fmt.framed:
            assert result.content == "".join(text for text, _ in pieces)


# How an answer begins that goes on to a call, where text may not come before the trigger.
BEGUN = {
    "functionary": "mixed\n",
    "harmony": "<|channel|>commentary to=",
    "llama3": '{"name": "mixed", "parameters": ',
    "pythonic": "[mixed(",
}


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_auto_is_bound_to_the_schemas_from_the_trigger_on(name: str, special: bool) -> None:
    fmt = tool_format(name)
    begun = BEGUN.get(name) or ("" if fmt.anchored else "Well. ") + fmt.trigger
    for seed in range(6):
        result, pieces = walked(name, "auto", seed, special, begun)
        assert result.calls, pieces
        assert result.content == ("Well." if begun.startswith("Well.") else "")
        validate(result.calls)


@pytest.mark.parametrize(
    ("name", "begun"),
    [("llama3", '{"name": "Bob", "age": '), ("pythonic", "[1, 2"), ("pythonic", "[mix](http"),
     ("generic", '{"tool": ')],
)  # fmt: skip
def test_auto_leaves_answers_that_begin_alike(name: str, begun: str) -> None:
    result, pieces = walked(name, "auto", 0, False, begun)
    assert result.calls == []
    assert result.content == "".join(text for text, _ in pieces)


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("style", ["think", "thought_channel"])
def test_reasoning_may_come_first(style: str, opened: bool, special: bool) -> None:
    options = {"reasoning": REASONING_STYLES[style], "in_reasoning": opened}
    for seed in range(6):
        result, pieces = walked("hermes", "required", seed, special, **options)
        assert result.calls, pieces
        assert result.content == ""
        validate(result.calls)


@pytest.mark.parametrize("name", NAMES)
def test_what_each_choice_asks(name: str) -> None:
    fmt, tools = tool_format(name), tools_of(TOOLS)
    assert fmt.grammar(tools, "none") is None
    assert fmt.grammar({}, "auto") is None
    with pytest.raises(InvalidRequestError, match="there are no tools"):
        fmt.grammar({}, "required")
    with pytest.raises(InvalidRequestError, match=r"tool_choice names 'nope'; allowed: .*search"):
        fmt.grammar(tools, "nope")


@pytest.mark.parametrize("name", NAMES)
def test_schemas_that_cannot_be_enforced_are_refused(name: str) -> None:
    tools = tools_of([tool("f", {"a": {"type": "array", "uniqueItems": True}}, ["a"])])
    with pytest.raises(InvalidRequestError, match="uniqueItems"):
        tool_format(name).grammar(tools, "required")


def test_calls_are_json() -> None:
    result, _ = walked("generic", "search", 0, special=False)
    assert json.loads(json.dumps(result.calls))
