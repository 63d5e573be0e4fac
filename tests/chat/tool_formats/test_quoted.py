"""Texts in arguments are quoted from the conversation where a model's template says so."""

from __future__ import annotations

import itertools
import random
from typing import Any

import jsonschema
import pytest
from grammar_walk import Walker
from read_output import control_of, read

from pyslm.chat.plan import ChatFormat
from pyslm.chat.request import ChatRequest
from pyslm.chat.template import ChatTemplate
from pyslm.chat.tool_formats import tool_format
from pyslm.chat.tool_formats.quoted import is_quoted, quotable, quotes_arguments
from pyslm.chat.tools import tools_of
from pyslm.finetune.dialect import chat_template
from pyslm.hub.embedded import FILE, embedded_folder
from pyslm.request import SamplingParams
from pyslm.tokenizer import load_tokenizer

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "knot": {"type": "string", "description": "Which", "default": "bowline"},
        "ends": {"type": "integer", "minimum": 0, "maximum": 9},
        "ropes": {"type": "array", "items": {"type": "string"}},
        "mood": {"enum": ["calm", "stormy"]},
        "day": {"type": "string", "pattern": "^[A-Z][a-z]{2}$"},
        "note": {"type": "string"},
    },
    "required": ["knot", "ropes"],
}
TOOLS = [{"type": "function", "function": {"name": "tie", "parameters": PARAMETERS}}]
SAID = 'Tie a clove hitch, said O\'Hara: "over\\under"\n結び目 für Ägir, zelkova 12'
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Knots."},
    {"role": "user", "content": [{"type": "text", "text": SAID}, {"type": "image_url"}]},
    {"role": "assistant", "content": None},
]


def calls(name: str, messages: list[dict[str, Any]], seed: int) -> list[tuple[str, Any]]:
    fmt = tool_format(name)
    control = {marker: 257 + i for i, marker in enumerate(control_of(fmt, None))}
    grammar = fmt.grammar(tools_of(TOOLS), "required", control=control, quotable=quotable(messages))
    assert grammar is not None
    pieces = Walker(control).walk(grammar, random.Random(seed))
    return read(fmt, pieces, tools=TOOLS, control=control).calls


def texts(arguments: dict[str, Any]) -> list[str]:
    return [arguments[k] for k in ("knot", "note") if k in arguments] + list(arguments["ropes"])


def spans(said: str) -> set[str]:
    """All that begins where a word does and ends where one does."""
    borders = [
        i for i in range(len(said) + 1)
        if not (0 < i < len(said) and said[i - 1].isalnum() and said[i].isalnum()
                and said[i].isascii() and said[i - 1].isascii())
        and not (1 < i < len(said) and said[i - 1] == "'" and said[i - 2].isalpha()
                 and said[i].isalpha())
    ]  # fmt: skip
    return {said[a:b] for a, b in itertools.combinations(borders, 2)}


@pytest.mark.parametrize("name", ["mistral11", "mistral", "hermes"])
def test_only_what_was_said_can_be_written(name: str) -> None:
    allowed = spans("".join(quotable(MESSAGES)))
    seen: set[str] = set()
    keys: set[str] = set()
    for seed in range(30):
        for _, arguments in calls(name, MESSAGES, seed):
            jsonschema.validate(arguments, PARAMETERS)
            assert list(arguments) == [k for k in PARAMETERS["properties"] if k in arguments]
            keys |= arguments.keys()
            seen |= set(texts(arguments))
            assert all(text.strip() == text and text in allowed for text in texts(arguments))
    assert keys == PARAMETERS["properties"].keys()
    assert len(seen) > 20
    assert any(" " in text for text in seen)


def test_letters_without_spaces_between_are_words() -> None:
    assert quotable([{"role": "user", "content": "結び目x"}]) == ("結", "び", "目", "x", "\n")


@pytest.mark.parametrize(
    ("said", "chunks"),
    [
        ("the printer's toner", ("the", " ", "printer", "'s", " ", "toner")),
        ("O\u2019Hara '90s", ("O", "\u2019Hara", " ", "'", "90s")),
        ("sing 'Hey Jude'", ("sing", " ", "'", "Hey", " ", "Jude", "'")),
    ],
)
def test_what_an_apostrophe_joins_to_a_word_begins_none(said: str, chunks: tuple[str, ...]) -> None:
    assert quotable([{"role": "user", "content": said}]) == (*chunks, "\n")


@pytest.mark.parametrize(
    ("said", "chunks"),
    [
        ("until 2026-12-02.", ("until", " ", "2026", "-", "12", "-", "02")),
        ("room 5. \n", ("room", " ", "5")),
        ("4. Elm Road", ("4", ".", " ", "Elm", " ", "Road")),
        ("at 3 p.m.", ("at", " ", "3", " ", "p", ".", "m", ".")),
    ],
)
def test_a_full_stop_behind_a_last_number_is_the_sentence_s(
    said: str, chunks: tuple[str, ...]
) -> None:
    assert quotable([{"role": "user", "content": said}]) == (*chunks, "\n")


@pytest.mark.parametrize("said", ["", " \n", None])
def test_nothing_was_said(said: str | None) -> None:
    """A call that must be made can be, with any texts."""
    for seed in range(5):
        ((_, arguments),) = calls("mistral11", [{"role": "user", "content": said}], seed)[:1]
        jsonschema.validate(arguments, PARAMETERS)


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("inner", "more"),
    [
        ({"$ref": "#/$defs/a"}, {"$defs": {"a": TEXT}}),
        (TEXT, {"minProperties": 1}),
        (TEXT, {"additionalProperties": TEXT}),
        ({**TEXT, "maxLength": 3}, {}),
        ({"type": ["string", "null"]}, {}),
        ({"type": "array", "items": TEXT, "maxItems": 2}, {}),
    ],
)
def test_other_schemas_hold_as_they_do_without(inner: Any, more: dict[str, Any]) -> None:
    parameters = {"type": "object", "properties": {"a": inner}, **more}
    tools = tools_of([{"type": "function", "function": {"name": "f", "parameters": parameters}}])
    fmt = tool_format("mistral11")
    assert fmt.grammar(tools, quotable=quotable(MESSAGES)) == fmt.grammar(tools)


def test_a_long_conversation() -> None:
    """Longer than any that nano holds: the grammar is still taken."""
    words = " ".join(f"w{i}" for i in range(20_000))
    assert calls("mistral11", [{"role": "user", "content": words}], 0)


def test_templates_declare_it() -> None:
    assert quotes_arguments(chat_template())
    assert not quotes_arguments(chat_template(quotes=False))
    assert not quotes_arguments("{{ messages }} quotes_arguments = true")


@pytest.mark.parametrize("quotes", [True, False])
def test_plans_follow_the_template(quotes: bool) -> None:
    form = ChatFormat(ChatTemplate(chat_template(quotes)), load_tokenizer(embedded_folder() / FILE))
    for sampling in (SamplingParams(), SamplingParams(json_object=True)):
        plan = form.plan(ChatRequest(messages=MESSAGES, sampling=sampling, tools=TOOLS))
        grammar = plan.sampling().grammar
        assert isinstance(grammar, str)
        assert ("clove" in grammar) is quotes


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"knot": "clove hitch", "ropes": ["zelkova 12", "O'Hara"], "ends": 77}, True),
        ({"knot": "Clove hitch", "ropes": []}, False),
        ({"knot": "clove hitch", "ropes": ["zelkova", "oak"]}, False),
        ({"mood": "stormy", "day": "Mon"}, True),
    ],
)
def test_what_could_be_quoted(arguments: dict[str, Any], expected: bool) -> None:
    assert is_quoted(arguments, PARAMETERS, MESSAGES) is expected
