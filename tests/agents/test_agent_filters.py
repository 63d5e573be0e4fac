"""Filters: personal data by its form, and texts that may not pass."""

from __future__ import annotations

import asyncio

import pytest
from reference.scripted_chat import ScriptedModel

from pyslm.agents import Agent, BlockPatterns, MaxLength, Redactor, SessionStore, TextDelta
from pyslm.errors import AgentConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail ann.lee+x@example.co.uk now", "mail [EMAIL] now"),
        # Test numbers that card networks publish.
        ("card 4111 1111 1111 1111.", "card [CARD]."),
        ("5555-5555-5555-4444", "[CARD]"),
        ("378282246310005", "[CARD]"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),  # wrong check digit
        # The examples of the IBAN registry.
        ("pay GB29 NWBK 6016 1331 9268 19 now", "pay [IBAN] now"),
        ("DE89370400440532013000", "[IBAN]"),
        ("ssn 078-05-1120", "ssn [SSN]"),
        ("from 192.168.1.7 to ::1", "from [IP] to ::1"),
        ("2001:db8:85a3:0:0:8a2e:370:7334", "[IP]"),
        ("version 1.2.3 of 2024", "version 1.2.3 of 2024"),
        ("call +1 (555) 010-9999 today", "call [PHONE] today"),
        ("MRN: 00123456", "[RECORD]"),
        ("patient id 8812345 is in", "[RECORD] is in"),
        ("password: hunter22 and more", "[SECRET] and more"),
        ("Authorization: Bearer abcdef123456", "Authorization: [SECRET]"),
        ("on 3 days, 12 items, 45.50 dollars", "on 3 days, 12 items, 45.50 dollars"),
    ],
)  # fmt: skip
def test_personal_data_goes(text: str, expected: str) -> None:
    redact = Redactor()
    assert redact(text) == expected
    assert redact(expected) == expected


def test_only_the_kinds_that_are_chosen() -> None:
    assert Redactor(["email"])("a@b.com 078-05-1120") == "[EMAIL] 078-05-1120"
    with pytest.raises(AgentConfigError, match="'shoe_size'"):
        Redactor(["shoe_size"])


def test_patterns_take_linear_time() -> None:
    redact = Redactor()
    for text in ("1 " * 20_000, "a@" * 20_000, "1234:" * 20_000, "GB29" * 20_000, "." * 40_000):
        redact(text)


def test_input_is_refused_before_the_model_sees_it() -> None:
    model = ScriptedModel("hi")
    agent = Agent(model=model, input_filters=[MaxLength(10), BlockPatterns(["bomb"], "not here")])
    result = asyncio.run(agent.run("a BOMB"))
    assert (result.finish_reason, result.text) == ("refused", "not here")
    assert "at most 10" in agent.chat("x" * 11)
    assert model.asked == []
    assert agent.chat("hello") == "hi"


def test_input_is_changed_for_model_and_session() -> None:
    store, model = SessionStore(), ScriptedModel("ok")
    agent = Agent(model=model, input_filters=[Redactor()], sessions=store)
    agent.chat("I am a@b.com", session="s")
    assert model.asked[0].messages[-1]["content"] == "I am [EMAIL]"
    assert store.messages("s")[0]["content"] == "I am [EMAIL]"


def test_output_goes_out_whole_and_filtered() -> None:
    store = SessionStore()
    agent = Agent(
        model=ScriptedModel("write to a@b.com soon"), output_filters=[Redactor()], sessions=store
    )
    assert agent.chat("?", session="s") == "write to [EMAIL] soon"
    assert store.messages("s")[-1]["content"] == "write to [EMAIL] soon"
    assert list(agent.stream("?")) == ["write to [EMAIL] soon"]

    async def read() -> list[str]:
        events = agent.stream("?").events()
        return [event.text async for event in events if isinstance(event, TextDelta)]

    assert asyncio.run(read()) == ["write to [EMAIL] soon"]


def test_output_may_be_withheld() -> None:
    agent = Agent(model=ScriptedModel("the recipe"), output_filters=[BlockPatterns(["recipe"])])
    assert agent.chat("?") == "The answer was withheld: this cannot be answered"
