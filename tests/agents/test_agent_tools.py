"""Tools: schemas from Python functions, arguments checked, results told."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import json
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import jsonschema
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslm.agents import Call, Tool, ToolResult
from pyslm.agents.tool_runner import MAX_HANGING
from pyslm.agents.toolbox import Toolbox
from pyslm.agents.tools import ArgumentsError


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(pydantic.BaseModel):
    sku: str
    count: int = 1


@dataclasses.dataclass
class Place:
    city: str
    at: datetime.date


def run(function: Any, arguments: Any = "{}", **settings: Any) -> ToolResult:
    """One call."""
    made = function if isinstance(function, Tool) else Tool(function, **settings)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    box = Toolbox([made], timeout=5.0, max_result_chars=1000)
    (result,) = asyncio.run(box.run([Call("c1", made.name, text)]))
    return result


def test_schema_of_signature_types_and_docstring() -> None:
    def get_weather(
        city: str,
        days: Annotated[int, pydantic.Field(ge=1, le=9)] = 3,  # noqa: ARG001
        unit: Literal["C", "F"] = "C",  # noqa: ARG001
        places: list[Item] | None = None,  # noqa: ARG001
    ) -> str:
        """Tells the weather.

        Knows all cities.

        Args:
            city: the name of a city
            days: how many days from now
        """
        return city

    made = Tool(get_weather)
    assert made.name == "get_weather"
    assert made.description == "Tells the weather.\n\nKnows all cities."
    properties = made.parameters["properties"]
    assert properties["city"] == {"type": "string", "description": "the name of a city"}
    assert properties["days"] == {
        "type": "integer", "minimum": 1, "maximum": 9, "default": 3,
        "description": "how many days from now",
    }  # fmt: skip
    assert properties["unit"]["enum"] == ["C", "F"]
    assert made.parameters["required"] == ["city"]
    assert made.parameters["additionalProperties"] is False
    jsonschema.Draft202012Validator.check_schema(made.parameters)
    assert "title" not in made.parameters


@pytest.mark.parametrize("style", ["Args:\n    city: a place", ":param city: a place",
                                   "Parameters\n----------\ncity : str\n    a place"])  # fmt: skip
def test_docstrings_of_the_usual_styles(style: str) -> None:
    def look(city: str) -> str:
        return city

    look.__doc__ = f"Looks.\n\n{style}\n"
    made = Tool(look)
    assert made.description == "Looks."
    assert made.parameters["properties"]["city"]["description"] == "a place"


def test_names_that_pydantic_keeps_to_itself() -> None:
    def look(schema: str, copy: int, model_config: str, _private: bool, json: str) -> list[Any]:
        return [schema, copy, model_config, _private, json]

    given = {"schema": "a", "copy": 1, "model_config": "b", "_private": True, "json": "c"}
    assert list(Tool(look).parameters["properties"]) == list(given)
    assert json.loads(run(look, given).content) == list(given.values())


def test_arguments_come_as_their_types() -> None:
    seen: list[Any] = []

    def look(color: Color, item: Item, when: datetime.date, place: Place, n: int = 2) -> None:
        seen.extend((color, item, when, place, n))

    place = {"city": "Oslo", "at": "2025-01-02"}
    arguments = {"color": "red", "item": {"sku": "x"}, "when": "2025-01-01", "place": place}
    assert run(look, arguments).ok
    assert seen == [Color.RED, Item(sku="x"), datetime.date(2025, 1, 1),
                    Place("Oslo", datetime.date(2025, 1, 2)), 2]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "city"), ({"city": "a", "days": 10}, "days"), ({"city": "a", "more": 1}, "more"),
        ({"city": ["a"]}, "city"), ("[1]", "object"), ("{", "valid"), ("not json", "valid"),
        ("[" * 100_000, "valid"),
    ],
)  # fmt: skip
def test_arguments_out_of_bounds_are_told_and_nothing_runs(arguments: Any, told: str) -> None:
    ran: list[str] = []

    def look(city: str, days: Annotated[int, pydantic.Field(le=9)] = 1) -> None:
        ran.append(f"{city} {days}")

    result = run(look, arguments)
    assert (result.outcome, ran) == ("invalid", [])
    assert told in json.loads(result.content)["error"]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)
)


@settings(max_examples=200, deadline=None)
@given(arguments=st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_what_runs_is_what_the_schema_allows(arguments: dict[str, Any]) -> None:
    """An independent validator agrees on all that gets through, as it was converted."""

    def look(a: int, b: list[bool] | None = None) -> None: ...

    made = Tool(look)
    for candidate in (arguments, {"a": 1, **arguments}):
        try:
            found = made.arguments(candidate)
        except ArgumentsError:
            continue
        assert set(candidate) <= {"a", "b"}
        jsonschema.validate(found, dict(made.parameters))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("text", "text"), ({"a": [1, None]}, '{"a":[1,null]}'), (None, "null"), (3.5, "3.5"),
        (Item(sku="x"), '{"sku":"x","count":1}'), (Color.RED, '"red"'), ({1}, "[1]"),
        (datetime.date(2025, 1, 2), '"2025-01-02"'), (b"ab", '"ab"'),
        (Place("Oslo", datetime.date(2025, 1, 2)), '{"city":"Oslo","at":"2025-01-02"}'),
    ],
)  # fmt: skip
def test_results_are_told_as_text_or_json(value: Any, told: str) -> None:
    result = run(lambda: value, name="give")
    assert (result.outcome, result.content) == ("ok", told)
    assert result.message() == {
        "role": "tool", "tool_call_id": "c1", "name": "give", "content": told,
    }  # fmt: skip


def test_long_results_are_cut() -> None:
    content = run(lambda: "x" * 5000, name="give").content
    assert content.startswith("x" * 1000)
    assert content.endswith("[cut off: 4000 more characters]")


class Unspeakable:
    pass


def cyclic() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


def sets_own_timeout() -> None:
    raise TimeoutError("upstream took too long")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ValueError("no such customer"), "ValueError: no such customer"),
        (KeyError("x"), "KeyError"), (SystemExit(3), "SystemExit"), (StopIteration(), "StopIter"),
        (KeyboardInterrupt(), "KeyboardInterrupt"), (RecursionError("deep"), "deep"),
        (asyncio.CancelledError(), "cancel"), (GeneratorExit(), "GeneratorExit"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_async", [False, True])
def test_errors_are_told_and_not_raised(raised: BaseException, told: str, is_async: bool) -> None:
    if is_async and isinstance(raised, (KeyboardInterrupt, SystemExit, GeneratorExit)):
        pytest.skip("asyncio itself lets these end the loop")

    def fails() -> None:
        raise raised

    async def fails_later() -> None:
        await asyncio.sleep(0)
        raise raised

    result = run(fails_later if is_async else fails)
    assert result.outcome == "failed"
    assert told.lower() in json.loads(result.content)["error"].lower()


@pytest.mark.parametrize("give", [Unspeakable, cyclic])
def test_what_cannot_be_told_is_said_so(give: Callable[[], Any]) -> None:
    result = run(lambda: give(), name="give")
    assert result.outcome == "failed"
    assert "cannot be told" in result.content


@pytest.mark.parametrize("is_async", [False, True])
def test_hanging_tools_time_out(is_async: bool) -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(20)

    async def hang_deaf() -> None:  # it does not listen when it is cancelled
        for _ in range(3):
            try:
                await asyncio.sleep(0.3)
            except asyncio.CancelledError:
                continue

    began = time.monotonic()
    result = run(hang_deaf if is_async else hang, timeout=0.1)
    release.set()
    assert result.outcome == "timeout"
    assert "0.1 s" in result.content
    assert time.monotonic() - began < 5


def test_the_tools_own_timeout_error_is_told() -> None:
    result = run(sets_own_timeout)
    assert result.outcome in ("failed", "timeout")


def test_hanging_tools_are_bounded() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(20)

    box = Toolbox([Tool(hang, timeout=0.01)])
    calls = [Call(str(i), "hang", "") for i in range(MAX_HANGING + 1)]
    results = asyncio.run(box.run(calls))
    release.set()
    assert [result.outcome for result in results].count("timeout") == MAX_HANGING
    assert "have not come back" in "".join(result.content for result in results)


def test_calls_of_one_turn_run_beside_each_other() -> None:
    meet = threading.Barrier(3, timeout=10)  # it opens only when all three are there

    def wait(n: int) -> int:
        meet.wait()
        return n

    box = Toolbox([Tool(wait)])
    calls = [Call(str(i), "wait", json.dumps({"n": i})) for i in range(3)]
    results = asyncio.run(box.run(calls))
    assert [result.content for result in results] == ["0", "1", "2"]
    assert [result.call.id for result in results] == ["0", "1", "2"]


def test_async_tools_run_on_the_callers_loop() -> None:
    async def main() -> bool:
        here = asyncio.get_running_loop()

        async def look() -> bool:
            return asyncio.get_running_loop() is here

        box = Toolbox([Tool(look)])
        (result,) = await box.run([Call("1", "look", "")])
        return result.content == "true"

    assert asyncio.run(main())


def test_unknown_tools_are_told_with_near_ones() -> None:
    box = Toolbox([Tool(cyclic)])
    (result,) = asyncio.run(box.run([Call("1", "cyclics", "{}")]))
    assert result.outcome == "unknown"
    assert "did you mean cyclic?" in result.content
