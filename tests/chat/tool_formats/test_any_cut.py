"""However an output is cut into pieces, what is told is the same; and nothing of it is lost."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_output import TOOLS, Piece, as_tokens, control_of, read

from pyslm.chat.events import ToolCall
from pyslm.chat.reasoning import REASONING_STYLES
from pyslm.chat.tool_formats import tool_format, tool_format_names

NAMES = tool_format_names()
JUNK = [
    " ", "\n", "\n\n", "<", "{", "}", "[", "]", '"', "'", "\\", ":", ",", "<|", "|>", "</", ">>>",
    '{"name": "', '"arguments": {', "clock", "clock(", "get_weather\n", "all\n", "functools", "é",
    "日",
    "```json\n", "```", "call:", "function", "<function=clock>", "<parameter=", "</parameter>",
    '<function name="', '<param name="', "<![CDATA[", "]]>", "name", "to=functions.clock", "final",
    "analysis", "commentary", "hello world", '{"name": "clock", "arguments": {}}', "\ud800", "null",
    '{"tool_calls": [', "[clock(", "assistant", "thought\n", "json", "true", "x" * 300,
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(-1e9, 1e9)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def calls() -> st.SearchStrategy[list[ToolCall]]:
    weather = st.fixed_dictionaries(
        {"city": st.text(st.characters(exclude_categories=["Cs"]), max_size=20)},
        optional={
            "days": st.integers(),
            "exact": st.booleans(),
            "heights": st.lists(st.integers()),
        },
    )
    one = weather.map(lambda a: ToolCall("get_weather", json.dumps(a, ensure_ascii=False)))
    return st.lists(one | st.just(ToolCall("clock", "{}")), min_size=1, max_size=3)


def outputs(name: str) -> st.SearchStrategy[str]:
    fmt = tool_format(name)
    markers = [m for s in REASONING_STYLES.values() for m in s.markers] + list(fmt.markers)
    part = st.sampled_from([*JUNK, *markers, fmt.trigger or ">>>"]) | st.text(max_size=5)
    return st.lists(part | calls().map(lambda c: str.__str__(fmt.write(c))), max_size=12).map(
        "".join
    )


def cut(pieces: list[Piece], data: st.DataObject) -> list[Piece]:
    """Control tokens stay whole, text goes to pieces."""
    result: list[Piece] = []
    for text, special in pieces:
        if special:
            result.append((text, True))
            continue
        at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
        starts = [0, *at, len(text)]
        result += [(text[a:b], False) for a, b in itertools.pairwise(starts)]
    return result


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_cut_gives_the_same(name: str, data: st.DataObject) -> None:
    fmt, text = tool_format(name), data.draw(outputs(name))
    style = data.draw(st.sampled_from([None, *REASONING_STYLES.values()]))
    options: dict[str, Any] = {"reasoning": style, "in_reasoning": data.draw(st.booleans())}
    options["control"] = control_of(fmt, style) if data.draw(st.booleans()) else {}
    pieces = as_tokens(text, options["control"])
    whole = read(fmt, pieces, **options)
    assert read(fmt, cut(pieces, data), **options) == whole
    characters = [(c, False) for t, s in pieces if not s for c in t]
    if not any(s for _, s in pieces):
        assert read(fmt, characters, **options) == whole


@pytest.mark.parametrize("name", [n for n in NAMES if not tool_format(n).framed])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_without_calls_all_is_content(name: str, data: st.DataObject) -> None:
    text = data.draw(outputs(name))
    result = read(tool_format(name), text)
    if not result.calls:
        assert result.content == text.replace("\ud800", "\ufffd")
    assert read(tool_format(name), text, tools=()).content == text.replace("\ud800", "\ufffd")


# Where a value has no quotation marks, some texts cannot be written.
BANNED = {"qwen3_coder": ["</parameter>"], "minicpm": ["]]></param>", "</param>"],
          "gemma4": ['<|"|>']}  # fmt: skip


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_written_calls_come_back(name: str, special: bool, data: st.DataObject) -> None:
    fmt = tool_format(name)
    made = data.draw(calls())
    text = str.__str__(fmt.write(made))
    if any(banned in json.loads(c.arguments).get("city", "") for c in made
           for banned in BANNED.get(name, ())):  # fmt: skip
        return
    control = control_of(fmt) if special else {}
    result = read(fmt, as_tokens(text, control), control=control)
    assert result.calls == [(c.name, json.loads(c.arguments)) for c in made]
    assert result.content == ""


@pytest.mark.parametrize("name", [n for n in NAMES if tool_format(n).markers])
def test_text_that_spells_a_control_token_is_text(name: str) -> None:
    fmt = tool_format(name)
    text = f"I write {str.__str__(fmt.write([ToolCall('clock', '{}')]))} like this."
    if fmt.trigger not in fmt.markers:
        pytest.skip("calls can begin without a control token")
    control = control_of(fmt)
    # Qwen's inner tag counts by itself, if it names a tool.
    tools = [] if name == "qwen3_coder" else TOOLS
    assert read(fmt, text, tools=tools, control=control).content == text
    assert read(fmt, as_tokens(text, control), control=control).calls == [("clock", {})]


@settings(max_examples=200, deadline=None)
@given(value=VALUES)
def test_python_values_are_read(value: Any) -> None:
    from pyslm.chat.tool_formats.literals import python_value

    assert json.loads(python_value(repr(value))) == value
    assert json.loads(python_value(json.dumps(value))) == value


def test_tools_are_two() -> None:
    assert [tool["function"]["name"] for tool in TOOLS] == ["get_weather", "clock"]
