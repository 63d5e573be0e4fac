"""Recorded conversations of agents, as the prompts and answers of a model's own tokens.

A file holds one conversation, a message a line:

    {"role": "system", "content": TEXT, "tools": [{"type": "function", "function": {...}}]}
    {"role": "user", "content": TEXT}
    {"role": "assistant", "content": TEXT, "tool_calls": [{"name": NAME, "arguments": {...}}]}
    {"role": "tool", "name": NAME, "content": JSON}

It is written out in the Hermes form, which Qwen and many others were trained on. The form is the
same whatever template a model has, so that all models replay the same text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

TOOLS_INTRODUCTION = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
TOOLS_END = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)

Message = Mapping[str, Any]


class Encodes(Protocol):
    """As a `pyslm.tokenizer.Tokenizer`."""

    def encode(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = False
    ) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model. Token ids."""

    prompt: list[int]
    """All before it."""
    answer: list[int]
    """With the end of the turn."""


def read_transcript(path: Path) -> list[Message]:
    """The messages of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def content_of(message: Message) -> str:
    """What stands between the marks of a message."""
    match message["role"]:
        case "system":
            tools = message.get("tools", [])
            if not tools:
                return str(message["content"])
            listed = "\n".join(map(_json, tools))
            return f"{message['content']}\n\n{TOOLS_INTRODUCTION}{listed}{TOOLS_END}"
        case "tool":
            return f"<tool_response>\n{_json(message['content'])}\n</tool_response>"
        case _:
            calls = [
                f"<tool_call>\n{_json(call)}\n</tool_call>"
                for call in message.get("tool_calls", [])
            ]
            return "\n".join([text for text in (message["content"],) if text] + calls)


def turns(messages: Sequence[Message], tokenizer: Encodes) -> list[Turn]:
    """The answers of a conversation, each after all that came before it."""

    def marks(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False, parse_special=True)

    def plain(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    result = []
    so_far = tokenizer.encode("", add_special_tokens=True)
    for role, content in _blocks(messages):
        so_far = so_far + marks(f"<|im_start|>{role}\n")
        block = plain(content) + marks("<|im_end|>")
        if role == "assistant":
            result.append(Turn(so_far, block))
        so_far = so_far + block + marks("\n")
    return result


def _blocks(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """(role, content); the answers of tools that stand together make one message of the user."""
    responses: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            responses.append(content_of(message))
            continue
        if responses:
            yield "user", "\n".join(responses)
            responses = []
        yield message["role"], content_of(message)
    if responses:
        yield "user", "\n".join(responses)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
