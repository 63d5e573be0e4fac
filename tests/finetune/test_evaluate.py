"""How answers are judged."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pyslm.finetune.evaluation.cases import Case
from pyslm.finetune.evaluation.evaluate import Answer, judge

_USER = ({"role": "user", "content": "order 12 of A-7"},)


def _judged(case: Case, text: str, *calls: tuple[str, Any]) -> dict[str, bool]:
    return judge(case, Answer(text, calls))


def test_tool_and_arguments_are_judged_apart() -> None:
    case = Case("tool, paraphrased", _USER, calls=(("order", {"n": 12, "id": "A-7"}),))
    right = {"tool, paraphrased": True, "arguments": True}
    assert _judged(case, "", ("order", {"id": "A-7", "n": 12.0})) == right
    assert _judged(case, "", ("order", {"id": "a-7", "n": 12})) == right | {"arguments": False}
    assert _judged(case, "", ("order", {"id": "A-7", "n": True})) == right | {"arguments": False}
    assert _judged(case, "", ("sell", {})) == {"tool, paraphrased": False}
    assert _judged(case, "no") == {"tool, paraphrased": False}


@pytest.mark.parametrize(
    ("made", "right"),
    [(("a", "b"), True), (("b", "a"), True), (("a",), False), (("a", "b", "b"), False)],
)
def test_two_calls(made: tuple[str, ...], right: bool) -> None:
    case = Case("two calls", _USER, calls=(("a", {}), ("b", {})))
    assert judge(case, Answer("", tuple((name, {}) for name in made))) == {"two calls": right}


def test_of_what_is_asked_next_the_tool_alone_counts() -> None:
    case = Case("next request", _USER, calls=(("order", {"n": 12}),))
    assert _judged(case, "", ("order", {"n": 13})) == {"next request": True}
    assert _judged(case, "", ("sell", {"n": 12})) == {"next request": False}
    assert _judged(dataclasses.replace(case, calls=()), "No.") == {"next request": True}


def test_no_call() -> None:
    case = Case("no tool fits", _USER)
    assert _judged(case, "I cannot.") == {"no tool fits": True}
    assert _judged(case, "") == {"no tool fits": False}
    assert _judged(case, "", ("a", {})) == {"no tool fits": False}


def test_answers_hold_the_facts_and_invent_no_number() -> None:
    case = Case("answer from result", _USER, must=("12", "A-7"))
    assert _judged(case, "12 of a-7 are ordered.") == {"answer from result": True}
    assert _judged(case, "12 are ordered.") == {"answer from result": False}
    assert _judged(case, "12 of A-7, 99 in all.") == {"answer from result": False}


def test_routing_is_exact() -> None:
    case = Case("routing", _USER, exact="sales")
    assert _judged(case, " sales\n") == {"routing": True}
    assert _judged(case, "sales team") == {"routing": False}
