"""What can be a tool, and what is told of what cannot."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import uuid
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest

from pyslm.agents import Call, Tool, ToolResult, tool
from pyslm.agents.toolbox import Toolbox
from pyslm.errors import AgentConfigError


class Unspeakable:
    pass


def run(function: Any, arguments: Any = "{}", **settings: Any) -> ToolResult:
    """One call."""
    made = function if isinstance(function, Tool) else Tool(function, **settings)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    box = Toolbox([made], timeout=5.0, max_result_chars=1000)
    (result,) = asyncio.run(box.run([Call("c1", made.name, text)]))
    return result


def test_plain_callables() -> None:
    class Counter:
        def __call__(self, n: int) -> int:
            return n + 1

    assert run(Tool(Counter(), name="count"), {"n": 1}).content == "2"
    partial = functools.partial(lambda a, b: a + b, b=2)
    assert run(Tool(partial, name="add"), {"a": 1}).content == "3"


def test_decorator_keeps_the_function_callable() -> None:
    @tool
    def double(n: int) -> int:
        """Doubles."""
        return 2 * n

    @tool(name="other", sensitive=True, timeout=2)
    def triple(n: int) -> int:
        return 3 * n

    assert double(4) == 8
    assert double.description == "Doubles."
    assert (triple.name, triple.sensitive, triple.timeout) == ("other", True, 2)


def stars(*values: int) -> None: ...


def more(**values: int) -> None: ...


def locked(lock: Unspeakable) -> None: ...


def forward(x: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821


@pytest.mark.parametrize(
    ("function", "told"),
    [(stars, "values"), (more, "values"), (forward, "Nowhere"), (3, "a function"),
     (locked, "locked"), (lambda: None, "name")],
)  # fmt: skip
def test_what_cannot_be_a_tool_is_said_so(function: Any, told: str) -> None:
    with pytest.raises(AgentConfigError, match=told):
        Tool(function)


def test_two_of_one_name() -> None:
    made = Tool(lambda: 1, name="stars")
    with pytest.raises(AgentConfigError, match="two tools are named stars"):
        Toolbox([made, made])


def test_tools_of_a_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "maximum": 3}},
        "required": ["n"],
    }
    made = Tool.of_schema(lambda n: n, "give", "Gives.", schema)
    assert run(made, {"n": 2}).content == "2"
    assert run(made, {"n": 4}).outcome == "invalid"
    with pytest.raises(AgentConfigError, match="no JSON schema"):
        Tool.of_schema(lambda n: n, "give", "", {"type": "objekt"})


@pytest.mark.parametrize(
    ("keyword", "where", "parameters"),
    [
        ("pattern", "#/properties/a", {"properties": {"a": {"pattern": "(?=x)y"}}}),
        ("pattern", "#/$defs/d",
         {"properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"pattern": "(?=x)y"}}}),
        ("$ref", "#/properties/pattern/items",
         {"properties": {"pattern": {"items": {"$ref": "#/$defs/no"}}}}),
        ("oneOf", "#/properties/a",
         {"properties": {"a": {"oneOf": [{"type": "string"}, {"type": "string"}]}}}),
    ],
)  # fmt: skip
def test_a_schema_that_would_fail_requests_is_refused(
    keyword: str, where: str, parameters: dict[str, Any]
) -> None:
    """The grammar of a model in this process cannot be made of it: not even of other tools."""
    place = re.escape(f"the tool give: {keyword} at {where} is ")
    with pytest.raises(AgentConfigError, match=place):
        Tool.of_schema(lambda **given: given, "give", "", {"type": "object", **parameters})


def test_a_function_with_a_pattern_that_would_fail_requests_is_refused() -> None:
    def give(code: Annotated[str, pydantic.Field(pattern=r"\bx")]) -> str:
        return code

    with pytest.raises(AgentConfigError, match="the tool give: pattern at #/properties/code is"):
        Tool(give)


def test_a_function_with_a_pattern_that_cannot_be_checked_is_refused() -> None:
    def give(code: Annotated[str, pydantic.Field(pattern=r"(?=x)y")]) -> str:
        return code

    with pytest.raises(AgentConfigError, match=r"the tool give cannot be checked: .*look-around"):
        Tool(give)


def test_types_whose_format_no_grammar_knows(tmp_path: Path) -> None:
    """They are checked as they were; a format in a value is no format."""

    named = {"format": "path"}

    def give(path: Path, ident: uuid.UUID, named: dict[str, str] = named) -> str:
        assert (type(path), type(ident)) == (type(tmp_path), uuid.UUID)
        return named["format"]

    made = Tool(give)
    properties = made.parameters["properties"]
    assert properties["path"] == {"type": "string"}
    assert properties["ident"] == {"type": "string", "format": "uuid"}
    assert properties["named"]["default"] == {"format": "path"}
    ident = "12345678-1234-5678-1234-567812345678"
    assert run(made, {"path": str(tmp_path), "ident": ident}).content == "path"
    assert run(made, {"path": 3, "ident": ident}).outcome == "invalid"
