"""What a very small model is shown of a conversation: the last request, and what it leans on."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pyslm import LLM
from pyslm.chat.exchanges import last_exchange, leans, reads_alone
from pyslm.chat.template import ChatTemplate
from pyslm.finetune.data import scenes
from pyslm.finetune.evaluation import evaluate, held_out_cases

SYSTEM = {"role": "system", "content": "Be short."}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "12"}
TOLD = {"role": "assistant", "content": "It is 12."}
ASKED = {"role": "assistant", "content": "What is the city? "}
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("get_weather", "what_time")]


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


WEATHER = user("What is the weather in Oslo?")


@pytest.mark.parametrize(
    "text",
    ["and tomorrow?", "And Bergen?", "Bergen", "in 5 minutes", "what about the 5 kg one?",
     "The same with wool, please.", "no, for Ann Smith", "I meant 12", "Also for Oslo.",
     "Bergen please", "make it 12", "Do it again", "find another one", "tomorrow at 8 then",
     "the red one instead", "yes, please"],
)  # fmt: skip
def test_what_is_no_request_by_itself_leans_on_what_was_said(text: str) -> None:
    assert leans(text)


@pytest.mark.parametrize(
    "text",
    ["subscribe to Radiolab", "garage door: lower", "call Tom", "Now order a pizza for me",
     "Cancel it", "Renew library book 0-306", "Book a meeting with the title Budget review at 14.",
     "thanks!", "Good morning!", "And then find the free slots", 'is "racecar" a palindrome?',
     "send it to Ann", "What is the capital of France?", "next eruption of Lady Knox?", "", "..."],
)  # fmt: skip
def test_a_request_of_its_own_does_not(text: str) -> None:
    assert not leans(text)


def test_a_word_of_a_tools_name_says_what_is_wanted() -> None:
    assert leans("and tomorrows weather?")
    assert not leans("and tomorrows weather?", {"weath"})
    assert leans("The same weather for Oslo, Bergen and all of the coast, please", {"weath"})
    again = [WEATHER, CALL, RESULT, TOLD, user("And the time in Bergen?")]
    assert last_exchange(again, TOOLS) == again[-1:]


@pytest.mark.parametrize("name", ["heldout", "second"])
def test_hardly_a_held_out_request_leans(name: str) -> None:
    """They all are requests of their own; most of those that lean would need what was said."""
    found = {
        c.messages[0]["content"] for c in held_out_cases(name=name) if c.messages[0] and c.tools
    }
    assert sum(map(leans, found)) < 0.01 * len(found)


def test_what_was_answered_is_left_out() -> None:
    before = [SYSTEM, WEATHER, CALL, RESULT, TOLD]
    order = user("Order a pizza.")
    assert last_exchange([*before, order]) == [SYSTEM, order]
    assert last_exchange([*before, order, CALL, RESULT]) == [SYSTEM, order, CALL, RESULT]
    parts = user([{"type": "text", "text": "Order a"}, {"type": "text", "text": "pizza."}])
    assert last_exchange([*before, parts]) == [SYSTEM, parts]


def test_what_leans_keeps_what_it_leans_on_and_no_more() -> None:
    first = [user("Order a pizza."), CALL, RESULT, TOLD]
    later = [
        WEATHER,
        CALL,
        RESULT,
        TOLD,
        user("and tomorrow?"),
        CALL,
        RESULT,
        TOLD,
        user("and now?"),
    ]
    assert last_exchange([*first, *later]) == later
    assert last_exchange(later[4:]) == later[4:]  # nothing is there to lean on


def test_what_answers_a_question_belongs_to_the_request() -> None:
    first = [user("Order a pizza."), CALL, RESULT, TOLD]
    needs = {"role": "assistant", "content": "Please tell me the city and the day."}
    for before in ([ASKED], [needs], [CALL], [CALL, RESULT], []):
        asked = [WEATHER, *before, user("order a big cake")]
        assert last_exchange([*first, *asked]) == asked


def test_nothing_is_lost_where_nothing_is_asked() -> None:
    for messages in ([], [SYSTEM], [SYSTEM, TOLD], [{"role": "user", "content": None}]):
        assert last_exchange(messages) == messages


def test_what_training_has_behind_an_answer_is_kept() -> None:
    """nano learns to read answers to its questions, and changes of what it did: it is shown all."""
    kept = Counter[tuple[str, bool]]()
    for scene in itertools.islice(scenes(3), 300):
        for branch in scene.branches:
            asked = [i for i, m in enumerate(branch.messages) if m["role"] == "user"]
            for i in asked[1:]:
                before = branch.messages[: i + 1]
                shown = last_exchange(before, scene.tools)
                kept[branch.category, len(shown) == len(before)] += 1
    assert kept["missing", True] > 50
    assert kept["missing", False] == 0
    assert kept["again", True] > 0.7 * (kept["again", True] + kept["again", False])


def test_templates_say_whether() -> None:
    source = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    declared = "{%- set reads_alone = true -%}\n" + source
    messages = [SYSTEM, WEATHER, TOLD, user("Order a pizza.")]
    assert not reads_alone(source)
    assert ChatTemplate(source).render(messages).count("[") == 4
    assert ChatTemplate(declared).render(messages) == "[Be short.][Order a pizza.]"


def test_nano_calls_what_is_asked_for_next(nano_file: Path) -> None:
    """And not what it called before."""
    cases = [case for case in held_out_cases() if case.measure == "next request"][::3]
    with LLM(nano_file) as llm:
        right = [all(o.right.values()) for o in evaluate(llm, cases, constrained=True).outcomes]
    assert sum(right) > 0.85 * len(cases)
