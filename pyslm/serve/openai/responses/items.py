"""What a request brings, as items; and items as the turns of a conversation."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from pyslm.serve.protocol import ServeError

__all__ = ["InputItem", "Item", "ItemReference", "messages_of", "new_item_id", "stored_item"]

Item = dict[str, Any]

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}
_Id = Annotated[str, Field(max_length=256)]
_CallId = Annotated[str, Field(min_length=1, max_length=256)]
_Status = Literal["in_progress", "completed", "incomplete"]


class _Open(BaseModel):
    """Clients send back what they were given, with fields of their own."""

    model_config = ConfigDict(extra="allow")


class ContentPart(_Open):
    """A piece of a content."""

    type: str
    text: str | None = None
    refusal: str | None = None


class MessageItem(_Open):
    """What somebody said."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart]
    id: _Id | None = None
    status: _Status | None = None


class FunctionCallItem(_Open):
    """What the model called."""

    type: Literal["function_call"]
    call_id: _CallId
    name: Annotated[str, Field(min_length=1, max_length=128)]
    arguments: str
    id: _Id | None = None
    status: _Status | None = None


class FunctionOutputItem(_Open):
    """What came of it."""

    type: Literal["function_call_output"]
    call_id: _CallId
    output: str | list[ContentPart]
    id: _Id | None = None
    status: _Status | None = None


class ReasoningItem(_Open):
    """What the model thought. Its summary is not read: this server writes none."""

    type: Literal["reasoning"]
    id: _Id | None = None
    summary: list[dict[str, Any]] | None = None
    content: list[ContentPart] | None = None
    encrypted_content: str | None = None
    status: _Status | None = None


class ItemReference(_Open):
    """An item that this server keeps."""

    type: Literal["item_reference"]
    id: Annotated[str, Field(min_length=1, max_length=256)]


def _kind(item: Any) -> str | None:
    if isinstance(item, BaseModel):
        return str(item.type)  # type: ignore[attr-defined]
    if not isinstance(item, dict):
        return None
    kind = item.get("type") or ("message" if "role" in item else None)
    return kind if isinstance(kind, str) else None


InputItem: TypeAlias = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[ItemReference, Tag("item_reference")],
    Discriminator(_kind),
]


def new_item_id(kind: str) -> str:
    """Of an item: "msg_..."."""
    return f"{_PREFIXES[kind]}_{secrets.token_hex(16)}"


def stored_item(item: InputItem) -> Item:
    """As it is kept and given back: with an id, and content as parts."""
    found = item.model_dump(exclude_none=True)
    kind = found["type"]
    found["id"] = found.get("id") or new_item_id(kind)
    if kind == "reasoning":
        found.setdefault("summary", [])
    else:
        found.setdefault("status", "completed")
    if kind == "message" and isinstance(found["content"], str):
        part: Item = {"type": "input_text", "text": found["content"]}
        if found["role"] == "assistant":
            part |= {"type": "output_text", "annotations": [], "logprobs": []}
        found["content"] = [part]
    return found


def messages_of(
    history: Sequence[Item], inputs: Sequence[Item], instructions: str | None
) -> list[dict[str, Any]]:
    """The conversation as the chat route takes it.

    Raises:
        ServeError: a result is of a call that nobody made, or something is no text.
    """
    turns = _Turns()
    for item in history:
        turns.add(item, "previous_response_id")
    for position, item in enumerate(inputs):
        turns.add(item, f"input.{position}")
    messages = turns.messages
    if instructions:
        # Most templates take one system message, and only as the first.
        if messages and messages[0]["role"] in ("system", "developer"):
            instructions += "\n\n" + messages.pop(0)["content"]
        messages.insert(0, {"role": "system", "content": instructions})
    if not messages:
        raise ServeError("invalid_request", "input: there is nothing to answer", param="input")
    return messages


class _Turns:
    """Thoughts, text and calls that follow each other are one turn of the model."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._calls: set[str] = set()

    def add(self, item: Item, where: str) -> None:
        """The next item."""
        kind = item["type"]
        if kind == "reasoning":
            if thoughts := _text(item.get("content") or [], where):
                self.messages.append({"role": "assistant", "reasoning_content": thoughts})
        elif kind == "function_call":
            self._calls.add(item["call_id"])
            function = {"name": item["name"], "arguments": item["arguments"]}
            call = {"id": item["call_id"], "type": "function", "function": function}
            self._turn().setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            self._add_result(item, where)
        elif item["role"] == "assistant":
            turn = self._turn(has_text=True)
            turn["content"] = _text(item["content"], where)
        else:
            content = _text(item["content"], where)
            self.messages.append({"role": item["role"], "content": content})

    def _add_result(self, item: Item, where: str) -> None:
        if item["call_id"] not in self._calls:
            raise ServeError(
                "invalid_request",
                f"{where}: no call has the call_id {item['call_id'][:100]!r}; send its "
                "function_call too, or the previous_response_id of the response that made it",
                param=f"{where}.call_id",
            )
        output = item["output"]
        content = output if isinstance(output, str) else _text(output, where)
        self.messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})

    def _turn(self, *, has_text: bool = False) -> dict[str, Any]:
        last = self.messages[-1] if self.messages else None
        full = last is None or last["role"] != "assistant"
        if last is not None and has_text:
            full = full or "content" in last or "tool_calls" in last
        if full or last is None:
            last = {"role": "assistant"}
            self.messages.append(last)
        return last


def _text(parts: str | list[dict[str, Any]], where: str) -> str:
    if isinstance(parts, str):
        return parts
    texts = []
    for i, part in enumerate(parts):
        text = part.get("refusal") if part["type"] == "refusal" else part.get("text")
        if part["type"] not in _TEXTS or text is None:
            raise ServeError(
                "not_supported",
                f"{where}: content of type {part['type'][:40]!r}; this server reads text only",
                param=f"{where}.content.{i}",
            )
        texts.append(text)
    return "".join(texts)


_TEXTS = frozenset(("input_text", "output_text", "text", "refusal", "reasoning_text"))
