"""Markers that are tokens of a real vocabulary, and grammars in the native engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from grammar.guided_drive import CONTROL, TOKEN_BYTES, Guided
from read_output import Piece, read

from pyslm.chat.control import control_tokens
from pyslm.chat.events import ToolCall
from pyslm.chat.reasoning import REASONING_STYLES
from pyslm.chat.tool_formats import tool_format
from pyslm.chat.tools import tools_of
from pyslm.tokenizer import load_tokenizer


def pieces_of(tokenizer: Any, tokens: list[int], control: dict[str, int]) -> list[Piece]:
    special = set(control.values())
    texts = [tokenizer.token_text(t) if t in special else "" for t in tokens]
    return [
        (text or tokenizer.token_bytes(token).decode(), bool(text))
        for token, text in zip(tokens, texts, strict=True)
    ]


def test_control_tokens_of_gemma(shared: Path) -> None:
    tokenizer = load_tokenizer(shared / "vocab" / "ggml-vocab-gemma-4.gguf")
    control = control_tokens(tokenizer)
    fmt, style = tool_format("gemma4"), REASONING_STYLES["thought_channel"]
    assert {*fmt.markers, "<|channel>", "<channel|>"} <= control.keys()
    call = ToolCall("get_weather", '{"city": "Oslo", "days": 2}')
    text = "<|channel>thought\nHm.\n<channel|>Let me see." + str.__str__(fmt.write([call]))
    tokens = tokenizer.encode(text, parse_special=True, add_special_tokens=False)
    assert control["<|tool_call>"] in tokens
    result = read(fmt, pieces_of(tokenizer, tokens, control), reasoning=style, control=control)
    assert (result.reasoning, result.content) == ("Hm.", "Let me see.")
    assert result.calls == [("get_weather", {"city": "Oslo", "days": 2})]
    result = read(fmt, text, reasoning=style, control=control)  # spelled by other tokens
    assert (result.reasoning, result.content, result.calls) == ("", text, [])


@pytest.mark.parametrize("choice", ["required", "clock"])
def test_calls_of_the_native_engine(choice: str) -> None:
    """A toy model with random weights, with <tool_call> as one token and its end as text."""
    fmt, control, engine = tool_format("hermes"), {"<tool_call>": CONTROL}, Guided()
    tools = [
        {"type": "function", "function": {"name": "clock", "parameters": {
            "type": "object",
            "properties": {"zone": {"enum": ["CET", "UTC"]}, "at": {"type": "boolean"}},
            "required": ["zone"],
        }}},
        {"type": "function", "function": {"name": "stop"}},
    ]  # fmt: skip
    grammar = fmt.grammar(tools_of(tools), choice, parallel=False, control=control)
    for seed in range(10):
        update = engine.one("lark", grammar, seed=seed, temperature=1.0, max_tokens=200)
        tokens = [t for t in update.tokens if TOKEN_BYTES[t] or t == CONTROL]
        pieces = [
            ("<tool_call>", True) if t == CONTROL else (TOKEN_BYTES[t].decode("latin1"), False)
            for t in tokens
        ]
        result = read(fmt, pieces, tools=tools, control=control)
        assert len(result.calls) == 1, pieces
        name, arguments = result.calls[0]
        assert name in (["clock", "stop"] if choice == "required" else [choice])
        if name == "clock":
            assert arguments["zone"] in ("CET", "UTC")
