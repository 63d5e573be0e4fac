"""A question is about what the best call had to make up."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pyslm.chat.question import Question
from pyslm.chat.steps import weigh_all
from pyslm.chat.tools import Tool
from pyslm.chat.weighing import Weighing
from pyslm.request import GenerationResult, SamplingParams, Timings, TokenLogprobs, Usage
from pyslm.tokenizer import Tokenizer, load_tokenizer

HEAD = "[TOOL_CALLS]book[ARGS]"


@pytest.fixture(scope="module")
def tokenizer(nano_file: Path) -> Tokenizer:
    return load_tokenizer(nano_file)


def booking(*required: str) -> Tool:
    keys = ("guest_name", "nights", "room", "größe")
    properties: dict[str, Any] = {key: {"type": "string"} for key in keys}
    properties["nights"] = {"type": "integer"}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return Tool.of({"name": "book", "description": "Books a room", "parameters": schema})


def asked(tokenizer: Tokenizer, call: str, unsure: str, *required: str) -> str | None:
    """Of a call of which only the last token of `unsure` is a guess."""
    ids = tokenizer.encode(call, add_special_tokens=False)
    end = call.index(unsure) + len(unsure)
    lengths = [len(tokenizer.decode(list(ids[: i + 1]))) for i in range(len(ids))]
    guess = next(i for i, length in enumerate(lengths) if length >= end)
    logprobs = [math.log(0.2) if i == guess else -0.001 for i in range(len(ids))]
    question = Question("What is the {}?", tokenizer, {(1, 2): booking(*required)})
    words = question.about((1, 2), ids, logprobs)
    assert words is None or words[0] == question.opening
    return None if words is None else tokenizer.decode(list(words))


CALL = 'book{"guest_name": "Ana", "nights": 3, "room": "room", "größe": "x"}'


@pytest.mark.parametrize(
    ("unsure", "question"),
    [
        ("Ana", "What is the guest name?"),
        ("3", "What is the nights?"),
        (': "room', "What is the room?"),  # which is a key as well
        ('größe": "x', "What is the größe?"),
        ("book", None),  # the choice of the tool is no argument
        ('"nights"', None),  # nor that one more is given
    ],
)
def test_the_argument_whose_value_is_a_guess(
    tokenizer: Tokenizer, unsure: str, question: str | None
) -> None:
    required = ("guest_name", "nights", "room", "größe")
    assert asked(tokenizer, CALL, unsure, *required) == question


def test_nothing_optional_is_asked_for(tokenizer: Tokenizer) -> None:
    assert asked(tokenizer, CALL, ': "room', "guest_name", "nights") is None
    assert asked(tokenizer, 'book{"nights": 3', "3", "nights", "room") == "What is the nights?"
    assert asked(tokenizer, "book{}", "{", "nights") is None


CALLS, END, NAME, OTHER, GIVEN, ASKS, TALKS = range(7)


class Asking:
    """Stands for a `Question` that is about OTHER's guess."""

    opening = ASKS

    def about(self, head: Any, call: Any, logprobs: Any) -> tuple[int, ...] | None:
        assert (call, list(logprobs)) == ((*head, GIVEN), [-0.5] * 3)
        return {(CALLS, NAME): (ASKS, NAME), (CALLS, OTHER): None}[head]


def result(ids: tuple[int, ...], logprob: float) -> GenerationResult:
    each = tuple(TokenLogprobs(token, logprob, ((END, -9.0),)) for token in ids)
    return GenerationResult(
        "", ids, "stop", Usage(1, len(ids)), Timings(0.0, 0.0, 0.0), each, None, 0
    )


@pytest.mark.parametrize(
    ("says", "best", "forced"),
    [
        (ASKS, NAME, (ASKS, NAME)),
        (ASKS, OTHER, ()),  # of which everything was said
        (TALKS, NAME, ()),  # no question
    ],
)
def test_questions_are_put_as_the_best_call_tells(
    says: int, best: int, forced: tuple[int, ...]
) -> None:
    def generate(_: Any, wanted: list[SamplingParams]) -> list[GenerationResult]:
        made = []
        for params in wanted:
            head = tuple(params.forced_tokens)
            if not head:
                made.append(result((says, END), -0.01))
            else:
                made.append(result((*head, GIVEN), -0.5 if head[1] == best else -5.0))
        return made

    heads = [(CALLS, NAME), (CALLS, OTHER)]
    question: Any = Asking()
    weighing = Weighing(SamplingParams(), CALLS, heads, {END}, question=question)
    (chosen,) = weigh_all(generate, [[1]], [weighing])
    assert chosen.forced_tokens == forced
    assert chosen.logit_bias == {CALLS: -100.0}
