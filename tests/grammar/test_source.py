"""What the fields of a request become, and what comes out of the engine for each."""

from __future__ import annotations

import re
from typing import Any

import pytest
from guided_drive import Guided, parse
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslm import InvalidRequestError, SamplingParams
from pyslm.grammar import grammar_source


def outputs(guided: Guided, params: SamplingParams, count: int, **fields: Any) -> list[bytes]:
    """Texts of the requests that ended by themselves."""
    source = grammar_source(params)
    assert source is not None
    texts = []
    for seed in range(count):
        update = guided.one(*source, seed=seed, max_tokens=200, **fields)
        assert update.finish in ("stop", "length"), update.error
        if update.finish == "stop":
            texts.append(update.bytes)
    return texts


@pytest.mark.parametrize(
    "pattern",
    [
        r"[a-c]{2,5}x?",
        r"(yes|no), (never|ever)",
        r"\d{4}-\d{2}-\d{2}",
        "日本?",
        "é+",
        "a/b|\n\\\\/",
        r"\w{3}",
    ],
)
def test_the_whole_output_matches_the_regex(pattern: str) -> None:
    texts = outputs(Guided(), SamplingParams(regex=pattern), 20)
    assert texts
    for text in texts:
        assert re.fullmatch(pattern, text.decode(), re.ASCII)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6))
def test_the_output_is_one_of_the_choices(choices: list[str]) -> None:
    try:
        params = SamplingParams(choice=choices)
    except InvalidRequestError:
        assert any("\ud800" <= c <= "\udfff" for text in choices for c in text)
        return
    texts = outputs(Guided(), params, 4)
    assert texts
    assert {text.decode() for text in texts} <= set(choices)


def test_every_choice_can_come() -> None:
    choices = ["a", "ab", "abc", "yes", "é"]
    texts = outputs(Guided(), SamplingParams(choice=choices), 200, temperature=50)
    assert {text.decode() for text in texts} == set(choices)


def test_json_object_is_an_object() -> None:
    texts = outputs(Guided(), SamplingParams(json_object=True), 60)
    assert len(texts) > 5
    for text in texts:
        assert isinstance(parse(text), dict)


def test_a_lark_grammar_is_followed() -> None:
    grammar = 'start: "<" pair ("," pair)* ">"\npair: KEY "=" /[0-9]{1,3}/\nKEY: /[ab]/'
    texts = outputs(Guided(), SamplingParams(grammar=grammar), 20)
    assert texts
    for text in texts:
        assert re.fullmatch(r"<[ab]=\d{1,3}(,[ab]=\d{1,3})*>", text.decode())


def test_control_tokens_go_by_their_names() -> None:
    update = Guided().one("lark", 'start: <|tool|> "a"')
    assert update.finish == "stop"
    assert update.bytes == b"a"
    assert len(update.tokens) >= 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"regex": "a", "choice": ["b"]}, "regex and choice are given; allowed: one"),
        ({"json_schema": {}, "json_object": True}, "json_schema and json_object"),
        ({"json_schema": False, "grammar": "x"}, "json_schema and grammar"),
        ({"regex": ""}, "regex holds"),
        ({"regex": "a\0b"}, "regex holds"),
        ({"regex": 7}, "regex holds"),
        ({"regex": "\ud800"}, "lone surrogate"),
        ({"grammar": ""}, "grammar holds"),
        ({"choice": []}, "choice has 0 texts"),
        ({"choice": "yes"}, "choice is 'yes'; allowed: a list"),
        ({"choice": ["a", ""]}, "choice holds ''"),
        ({"choice": ["a"] * 20_000}, "choice has 20000 texts"),
        ({"json_object": 1}, "json_object is 1"),
    ],
)
def test_malformed_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        SamplingParams(**fields)


def test_no_grammar_is_none() -> None:
    assert grammar_source(SamplingParams()) is None
