"""Calls of tools with random schemas, in each kind of notation."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from grammar.random_schemas import random_schema
from grammar_walk import Walker
from read_output import read

from pyslm.chat.tool_formats import tool_format
from pyslm.chat.tools import tools_of
from pyslm.errors import InvalidRequestError

NOTATIONS = ["hermes", "pythonic", "gemma4", "qwen3_coder", "minicpm"]


def random_tool(rng: random.Random) -> dict[str, Any]:
    schema = random_schema(rng, depth=2)
    definitions = {key: schema.pop(key) for key in ("$defs",) if key in schema}
    properties = {"a": schema, "b": {"type": "integer"}}
    parameters = {"type": "object", "properties": properties, "required": ["a"], **definitions}
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


@pytest.mark.parametrize("name", NOTATIONS)
@pytest.mark.parametrize("first", [0, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_tools(name: str, first: int) -> None:
    count = 60 if first == 0 else 3000
    num_refused = 0
    for seed in range(first, first + count):
        rng = random.Random(seed)
        tool = random_tool(rng)
        try:
            grammar = tool_format(name).grammar(tools_of([tool]), "f", parallel=False)
        except InvalidRequestError:
            num_refused += 1
            continue
        assert grammar
        result = read(tool_format(name), Walker().walk(grammar, rng), tools=[tool])
        [(kind, (_, written))] = result.order
        assert kind == "call"
        arguments = json.loads(written, parse_float=Decimal)  # no number is rounded
        jsonschema.Draft202012Validator(tool["function"]["parameters"]).validate(arguments)
    assert num_refused < count / 3
    assert num_refused == 0 or name in ("pythonic", "gemma4")
