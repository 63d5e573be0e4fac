"""What was said once is not given to two arguments, where something else is likely."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from pyslm.chat.repeats import repeats
from pyslm.chat.steps import weigh_all
from pyslm.chat.weighing import Weighing
from pyslm.request import GenerationResult, SamplingParams, Timings, TokenLogprobs, Usage
from pyslm.tokenizer import load_tokenizer


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('f{"a": "^Oslo"^, "b": "^Oslo"}', "from Oslo"),
        ('f{"a": "Oslo", "b": "Oslo"}', "from Oslo to Oslo"),
        ('f{"a": "Oslo", "b": "Bergen"}', "from Oslo to Bergen"),
        ('f{"a": "km", "b": "km"}', "five kilometres"),  # was not said
        ('f{"rate": ^3.9, "years": 30^, "sum": ^3.9}', "30 years at 3.9 percent"),
        ('f{"n": 30, "m": 3}', "30 of them, 3 times"),  # 3 is no part of 30
        ('f{"n": 30, "x": "y", "m": 3}', "30 of them"),
        ('f{"who": "^dog Rex"^, "name": "^Rex"}', "my dog Rex"),
        ('f{"who": "dog Rex", "name": "Rex"}', "Rex, my dog Rex"),
        ('f{"a": ["^Ann"^, "^Ann", "Bo"]}', "Ann and Bo"),
        ('f{"Oslo": 1, "a": "Oslo"}', "Oslo, 1"),  # a key is no value
        ('f{"a": "^say \\"hi\\""^, "b": "^hi"}', 'write: say "hi"'),
        ('f{"a": true, "b": true}', "true"),
        ("f{}", "nothing"),
        ('f{"a": "\\x"', "cut off"),
    ],
)
def test_what_is_said_once_and_called_with_twice(call: str, said: str) -> None:
    expected, text = [], ""
    for sign in call:  # ^ stands before what something else could stand for
        if sign == "^":
            expected.append(len(text))
        else:
            text += sign
    ids = [ord(sign) for sign in text]
    assert repeats(ids, said, lambda ids: "".join(map(chr, ids))) == expected


def test_places_are_tokens() -> None:
    tokens = ['f{"a": "', "Os", "lo", '"', ', "b": ', '"Os', "lo", '"}']
    ids = list(range(len(tokens)))
    assert repeats(ids, "Oslo", lambda ids: "".join(tokens[i] for i in ids)) == [1, 4, 5]


@pytest.mark.parametrize(
    "name", ["\u017di\u017eek", "\u6771\u4eac", "Troms\u00f8", "\U0001f600 party"]
)
def test_characters_of_several_tokens(name: str, nano_file: Path) -> None:
    tokenizer = load_tokenizer(nano_file)
    heads = ['{"a": "', name, '"', f', "b": "{name}']
    ids = [tokenizer.encode(part, add_special_tokens=False) for part in heads]
    begins = list(itertools.accumulate(map(len, ids), initial=0))
    again = tokenizer.encode(', "b": "', add_special_tokens=False)
    places = [begins[1], begins[3], begins[3] + len(again)]
    call = [*itertools.chain(*ids), *tokenizer.encode('"}', add_special_tokens=False)]
    assert repeats(call, f"call {name} now", tokenizer.decode) == places
    assert repeats(call, f"{name}, {name}", tokenizer.decode) == []


CALL, END, NAME, TWICE, OTHER, COMMA = range(6)
REPEATED = (CALL, NAME, TWICE, COMMA, TWICE)


def result(ids: tuple[int, ...], logprob: float) -> GenerationResult:
    """One whose tokens have that log-probability altogether."""
    each = [TokenLogprobs(token, logprob / len(ids), ((END, -9.0),)) for token in ids]
    usage, timings = Usage(1, len(ids)), Timings(0.0, 0.0, 0.0)
    return GenerationResult("", ids, "stop", usage, timings, tuple(each), None, 0)


def decided(after: dict[tuple[int, ...], tuple[tuple[int, ...], float]]) -> SamplingParams:
    """By a model that calls with `REPEATED` by itself, and goes on as `after` says.

    `after` maps forced tokens to what comes of them; a token that stands first in likelihood and
    is banned is replaced by OTHER.
    """

    def generate(_: list[list[int]], wanted: list[SamplingParams]) -> list[GenerationResult]:
        made = []
        for params in wanted:
            forced = params.forced_tokens
            if not forced:
                made.append(result(REPEATED, -0.5))
            elif params.logit_bias:
                assert params.max_tokens == len(forced) + 1
                assert params.logit_bias == {REPEATED[len(forced)]: -100.0}
                made.append(result((*forced, OTHER), -1.0))
            else:
                made.append(result(*after[forced]))
        return made

    def repeats_in(call: Any) -> list[int]:
        places = [i for i, token in enumerate(call) if token == TWICE]
        return places if len(places) > 1 else []

    params = SamplingParams(temperature=0.7)
    weighing = Weighing(params, CALL, [(CALL, NAME)], {END}, repeats_in)
    (chosen,) = weigh_all(generate, [[1]], [weighing])
    assert chosen.replace(forced_tokens=()) == params
    return chosen


FIRST, LAST = (CALL, NAME, OTHER), (*REPEATED[:4], OTHER)


@pytest.mark.parametrize(
    ("first", "last", "made"),
    [
        (((*FIRST, COMMA, TWICE), -2.0), (LAST, -3.0), (*FIRST, COMMA, TWICE)),
        (((*FIRST, COMMA, TWICE), -3.0), (LAST, -2.0), LAST),
        (((*FIRST, COMMA, TWICE), -4.6), (LAST, -4.6), REPEATED),  # neither is likely
        (((*FIRST, TWICE, TWICE), -1.0), (LAST, -2.0), LAST),  # the first repeats as well
        (((*FIRST, TWICE, TWICE), -1.0), ((*LAST, TWICE), -1.0), REPEATED),
    ],
)
def test_what_stands_in_is_the_likeliest_without_a_repeat(
    first: Any, last: Any, made: tuple[int, ...]
) -> None:
    assert decided({FIRST: first, LAST: last}).forced_tokens == made


def test_a_second_call_is_looked_at_too() -> None:
    calls = (CALL, NAME, OTHER, *REPEATED)
    weighing = Weighing(
        SamplingParams(), CALL, [(CALL, NAME)], {END}, lambda call: [2] * (call.count(TWICE) > 1)
    )
    steps = weighing.steps()
    next(steps)
    (probe,) = steps.send([result(calls, -0.1)])
    assert probe.forced_tokens == (*calls[:5],)
    assert math.isclose(probe.logit_bias[TWICE], -100.0)
    with pytest.raises(StopIteration) as end:
        steps.send([result(calls, -0.1)])  # nothing else may stand there
    assert end.value.value.forced_tokens == calls
