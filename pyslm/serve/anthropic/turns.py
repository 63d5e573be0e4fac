"""The conversation of a request: Anthropic's blocks as the chat templates read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, StrictBool

from pyslm.serve.protocol import ServeError

__all__ = ["Block", "Turn", "is_continued", "plain_turns", "system_text"]


class Block(BaseModel):
    """A piece of a content; which fields it needs is up to its type."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[Block] | None = None
    is_error: StrictBool | None = None


class Turn(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="allow")

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


def system_text(system: str | Sequence[Block] | None) -> str:
    """The system prompt; blocks of it are paragraphs."""
    return "" if system is None else _joined(system, "system", "\n")


def is_continued(turns: Sequence[Turn]) -> bool:
    """Whether the last turn is the assistant's, to be gone on with.

    Raises:
        ServeError: it cannot be.
    """
    last = turns[-1]
    if last.role != "assistant":
        return False
    where = f"messages.{len(turns) - 1}"
    blocks = _blocks(last)
    if not blocks or any(block.type == "tool_use" for block in blocks):
        raise _invalid(where, "the last turn is the assistant's, and holds no text to go on with")
    if blocks[-1].type != "text" or not (blocks[-1].text or "").strip():
        raise _invalid(where, "an assistant's turn that is to be continued must end with text")
    if blocks[-1].text != (blocks[-1].text or "").rstrip():
        raise _invalid(where, "final assistant content cannot end with trailing whitespace")
    return True


def plain_turns(turns: Sequence[Turn], system: str) -> list[dict[str, Any]]:
    """The turns with text as content; results of tools become turns of their own, and turns of one
    role that follow each other one turn.

    Raises:
        ServeError: a turn holds something other than text, or answers a call that nobody made.
    """
    plain = _Plain()
    if system:
        plain.say("system", system)
    for i, turn in enumerate(turns):
        where = f"messages.{i}.content"
        if turn.role == "assistant":
            plain.answer(_blocks(turn), where)
        else:
            plain.ask(turn.role, _blocks(turn), where)
    return plain.messages


class _Plain:
    """The conversation so far."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._names: dict[str, str] = {}

    def say(self, role: str, text: str) -> None:
        last = self.messages[-1] if self.messages else None
        if last is not None and last["role"] == role:
            last["content"] += f"\n{text}" if last["content"] else text
        else:
            self.messages.append({"role": role, "content": text})

    def ask(self, role: str, blocks: Sequence[Block], where: str) -> None:
        for i, block in enumerate(blocks):
            if block.type == "tool_result":
                self.messages.append(self._result(block, f"{where}.{i}"))
            else:
                self.say(role, _text(block, f"{where}.{i}"))
        if not blocks:
            self.say(role, "")

    def answer(self, blocks: Sequence[Block], where: str) -> None:
        last = self.messages[-1] if self.messages else {}
        if last.get("role") == "assistant":
            turn = last
        else:
            turn = {"role": "assistant", "content": ""}
            self.messages.append(turn)
        for i, block in enumerate(blocks):
            if block.type == "thinking":
                turn["reasoning_content"] = turn.get("reasoning_content", "") + (
                    block.thinking or ""
                )
            elif block.type == "tool_use":
                turn.setdefault("tool_calls", []).append(self._call(block, f"{where}.{i}"))
            elif block.type != "redacted_thinking":  # another's thoughts, which nobody can read
                turn["content"] += _text(block, f"{where}.{i}")

    def _call(self, block: Block, where: str) -> dict[str, Any]:
        if not block.id or not block.name:
            raise _invalid(where, "a tool_use needs id and name")
        self._names[block.id] = block.name
        arguments = json.dumps(block.input or {}, ensure_ascii=False)
        return {
            "id": block.id,
            "type": "function",
            "function": {"name": block.name, "arguments": arguments},
        }

    def _result(self, block: Block, where: str) -> dict[str, Any]:
        name = self._names.get(block.tool_use_id or "")
        if name is None:
            raise _invalid(
                where,
                f"unexpected tool_use_id {str(block.tool_use_id)[:64]!r} in a tool_result: "
                "no tool_use before it has this id",
            )
        text = "" if block.content is None else _joined(block.content, f"{where}.content", "\n")
        return {
            "role": "tool",
            "tool_call_id": block.tool_use_id,
            "name": name,
            "content": f"Error: {text}" if block.is_error else text,
        }


def _blocks(turn: Turn) -> list[Block]:
    content = turn.content
    return [Block(type="text", text=content)] if isinstance(content, str) else content


def _joined(content: str | Sequence[Block], where: str, between: str) -> str:
    if isinstance(content, str):
        return content
    return between.join(_text(block, f"{where}.{i}") for i, block in enumerate(content))


def _text(block: Block, where: str) -> str:
    if block.type != "text":
        raise ServeError(
            "not_supported",
            f"{where}: content of type {block.type[:40]!r}; this server reads text only",
            param=where,
        )
    if block.text is None:
        raise _invalid(f"{where}.text", "Field required")
    return block.text


def _invalid(where: str, message: str) -> ServeError:
    return ServeError("invalid_request", f"{where}: {message}", param=where)
