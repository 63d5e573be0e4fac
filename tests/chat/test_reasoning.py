"""Reasoning told apart from the answer."""

from __future__ import annotations

import pytest

from pyslm.chat.events import ContentDelta, ReasoningDelta
from pyslm.chat.output import OutputParser
from pyslm.chat.reasoning import REASONING_STYLES, detect_reasoning
from pyslm.chat.tool_formats import tool_format

THINK = REASONING_STYLES["think"]


def told(style: str | None, output: str, opened: bool = False) -> tuple[str, str]:
    reasoning = REASONING_STYLES[style] if style else None
    parser = OutputParser(tool_format("hermes"), reasoning=reasoning, in_reasoning=opened)
    events = [event for c in output for event in parser.feed(c)] + parser.finish()
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    return thought, "".join(event.text for event in events if isinstance(event, ContentDelta))


@pytest.mark.parametrize(
    ("style", "output", "opened", "expected"),
    [
        ("think", "<think>\nHm.\n\nYes.\n</think>\n\nHello", False, ("Hm.\n\nYes.", "Hello")),
        ("think", "Hm.\n</think>\n\nHello", True, ("Hm.", "Hello")),
        ("think", "<think>\nHm.</think>Hello", True, ("Hm.", "Hello")),  # opens it once more
        ("think", "\n\n</think>\n\nHello", True, ("", "Hello")),
        ("think", "<think></think>Hello", False, ("", "Hello")),
        ("think", "<think>cut off here", False, ("cut off here", "")),
        ("think", "<think>cut off </thi", False, ("cut off </thi", "")),
        ("think", "Hello <think>no</think>", False, ("", "Hello <think>no</think>")),
        ("think", " Hello", False, ("", " Hello")),
        ("think", "<thin", False, ("", "<thin")),
        ("think_brackets", "[THINK]Hm.[/THINK]Hello", False, ("Hm.", "Hello")),
        ("thought_channel", "<|channel>thought\nHm.\n<channel|>Hello", False, ("Hm.", "Hello")),
        ("thought_channel", "<|channel>other\n", False, ("", "<|channel>other\n")),
        (None, "<think>Hm.</think>Hello", False, ("", "<think>Hm.</think>Hello")),
    ],
)  # fmt: skip
def test_reasoning(style: str, output: str, opened: bool, expected: tuple[str, str]) -> None:
    assert told(style, output, opened) == expected


def test_text_is_told_as_it_comes() -> None:
    parser = OutputParser(tool_format("hermes"), reasoning=THINK)
    assert parser.feed("<think>One") == [ReasoningDelta("One")]
    assert parser.feed(" two") == [ReasoningDelta(" two")]
    assert parser.feed(" three</th") == [ReasoningDelta(" three")]
    assert parser.feed("ink>") == []
    assert parser.feed("\n\nFour") == [ContentDelta("Four")]
    assert parser.feed(" \n") == [ContentDelta(" \n")]
    assert parser.finish() == []


def test_control_tokens_are_not_spelled() -> None:
    parser = OutputParser(tool_format("hermes"), reasoning=THINK, control={"</think>": 7})
    assert parser.feed("<think>a </think> b") == [ReasoningDelta("a </think> b")]
    assert parser.feed("</think>", special=True) == []
    assert parser.feed("c") == [ContentDelta("c")]


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("<think>\n<|im_start|>assistant\n", False),
    ],
)
def test_prompts_that_open_it(prompt: str, opened: bool) -> None:
    assert THINK.opened_by(prompt) is opened


def test_templates_without() -> None:
    assert detect_reasoning(None) is None
    assert detect_reasoning("{{ messages }}") is None
