"""The recorded agents: sound as conversations, and cut into turns without loss."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import jsonschema
import pytest
from load.transcripts import Message, Turn, content_of, read_transcript, turns
from speculation import Run, row_of, verdict

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "transcripts"
RECORDED = sorted(FOLDER.glob("*.jsonl"))


class Bytes:
    """A tokenizer whose tokens are bytes."""

    def encode(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = False
    ) -> list[int]:
        del parse_special
        return [256] * add_special_tokens + list(text.encode())


def text_of(ids: list[int]) -> str:
    return bytes(ids).decode()


def test_there_are_enough_of_them() -> None:
    assert 6 <= len(RECORDED) <= 10


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_every_call_is_of_a_known_tool_and_valid(path: Path) -> None:
    system, *rest = read_transcript(path)
    assert system["role"] == "system"
    tools = {tool["function"]["name"]: tool["function"] for tool in system["tools"]}
    calls = [call for message in rest for call in message.get("tool_calls", [])]
    results = [message["name"] for message in rest if message["role"] == "tool"]
    assert calls
    assert [call["name"] for call in calls] == results, "each call is answered, in order"
    for call in calls:
        jsonschema.validate(call["arguments"], tools[call["name"]]["parameters"])


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_turns_follow_one_another(path: Path) -> None:
    messages = read_transcript(path)
    cut = turns(messages, Bytes())
    assert [text_of(turn.answer) for turn in cut] == [
        content_of(m) + "<|im_end|>" for m in messages if m["role"] == "assistant"
    ]
    for turn in cut:
        assert turn.prompt[0] == 256, "the tokenizer's own beginning"
        assert text_of(turn.prompt[1:]).endswith("<|im_end|>\n<|im_start|>assistant\n")
    for before, after in itertools.pairwise(cut):
        assert after.prompt[: len(before.prompt + before.answer)] == before.prompt + before.answer


def test_the_form_is_that_of_hermes() -> None:
    tool = {"type": "function", "function": {"name": "add", "description": "", "parameters": {}}}
    call = {"name": "add", "arguments": {"a": 1, "b": "é"}}
    messages: list[Message] = [
        {"role": "system", "content": "Count.", "tools": [tool]},
        {"role": "user", "content": "1 and é?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "add", "content": {"sum": None}},
        {"role": "tool", "name": "add", "content": {"sum": 2}},
        {"role": "assistant", "content": "Two."},
    ]
    first, second = turns(messages, Bytes())
    prompt = text_of(first.prompt[1:])
    assert prompt.startswith("<|im_start|>system\nCount.\n\n# Tools\n\n")
    assert f"<tools>\n{json.dumps(tool)}\n</tools>" in prompt
    assert text_of(first.answer) == (
        '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "é"}}\n</tool_call><|im_end|>'
    )
    between = text_of(second.prompt[len(first.prompt + first.answer) :])
    assert between == (
        "\n<|im_start|>user\n"
        '<tool_response>\n{"sum": null}\n</tool_response>\n'
        '<tool_response>\n{"sum": 2}\n</tool_response><|im_end|>\n'
        "<|im_start|>assistant\n"
    )
    assert second.answer == list(b"Two.<|im_end|>")
    assert isinstance(second, Turn)


def test_rows_are_medians_of_pairs() -> None:
    off = [Run(100, seconds, 0, 0) for seconds in (2.0, 4.0, 5.0)]
    on = [Run(100, 1.0, 80, 50), Run(100, 4.0, 80, 50), Run(100, 2.0, 80, 50)]
    row = row_of("x", list(zip(off, on, strict=True)))
    assert row.ratio == pytest.approx(2.0)  # of 2, 1 and 2.5: pairs, not medians of each side
    assert (row.plain, row.speculating) == pytest.approx((25.0, 50.0))
    assert row.acceptance == pytest.approx(50 / 80)
    assert row.tokens_per_step == pytest.approx(2.0)  # 100 tokens, of which 50 came for nothing
    assert row_of("y", [(off[0], off[0])]).acceptance is None


def test_the_floor_is_the_lowest_and_the_replay_the_median() -> None:
    rows = [row_of("x", [(Run(10, 1.0, 0, 0), Run(10, s, 9, 5))]) for s in (0.5, 1.0, 0.625)]
    assert verdict("replay", rows) == {
        "part": "replay", "value": pytest.approx(1.6), "target": 1.5, "met": True,
    }  # fmt: skip
    rows = [row_of("x", [(Run(10, 1.0, 0, 0), Run(10, s, 9, 0))]) for s in (1.0, 1.25, 0.9)]
    assert verdict("floor", rows) == {
        "part": "floor", "value": pytest.approx(0.8), "target": 0.97, "met": False,
    }  # fmt: skip
