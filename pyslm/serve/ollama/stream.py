"""Answers of /api/generate and /api/chat: whole, or as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from pyslm.serve.ollama.common import done_fields, now
from pyslm.serve.ollama.error import error_object
from pyslm.serve.openai.logprobs import chat_logprobs
from pyslm.serve.protocol import (
    Choice,
    Completion,
    ContentDelta,
    Event,
    Finished,
    ReasoningDelta,
    ServeError,
    Started,
    TokenEntry,
    TokensDelta,
    ToolCall,
    ToolCallArguments,
    ToolCallStart,
)

__all__ = ["NDJSON", "Said", "Shape", "Writer", "chat_shape", "generate_shape", "whole"]

NDJSON = "application/x-ndjson"

Said: TypeAlias = dict[str, Any]
"""Of one piece: content, thinking, tool_calls."""
Shape: TypeAlias = Callable[[Said], dict[str, Any]]
"""Where a route's answer holds what is said."""

_encode = msgspec.json.encode


def chat_shape(said: Said) -> dict[str, Any]:
    """In a message."""
    return {"message": {"role": "assistant", "content": "", **said}}


def generate_shape(said: Said) -> dict[str, Any]:
    """At the top."""
    rest = {name: value for name, value in said.items() if name != "content"}
    return {"response": said.get("content", ""), **rest}


class Writer:
    """Writes a line for each piece of text, of thought, and for each whole call."""

    def __init__(self, model: str, shape: Shape, began_ns: int, load_seconds: float) -> None:
        self._model = model
        self._shape = shape
        self._began_ns = began_ns
        self._load_seconds = load_seconds
        self._call: ToolCall | None = None
        self._num_calls = 0
        self._tokens: list[TokenEntry] = []
        # Most lines differ in their time and text only.
        empty = _encode({**shape({"content": "\0"}), "done": False})
        before, after = empty.split(_encode("\0"))
        self._head = b'{"model":%b,"created_at":"' % _encode(model)
        self._before = b'",' + before.removeprefix(b"{")
        self._after = after + b"\n"

    def begin(self) -> bytes:
        return b""

    def events(self, events: Sequence[Event]) -> bytes:
        if len(events) == 1:
            return self._write(events[0])
        return b"".join(map(self._write, events))

    def end(self) -> bytes:
        return b""

    def error(self, error: ServeError) -> bytes:
        return _encode(error_object(error)) + b"\n"

    def ping(self) -> bytes:
        return b""  # clients take an empty line for JSON

    def _write(self, event: Event) -> bytes:
        if type(event) is ContentDelta and self._call is None and not self._tokens:
            return b"%b%b%b%b%b" % (
                self._head,
                now().encode(),
                self._before,
                _encode(event.text),
                self._after,
            )
        if isinstance(event, ToolCallArguments):
            assert self._call is not None
            self._call.arguments += event.text
            return b""
        if isinstance(event, TokensDelta):
            self._tokens += event.tokens
            return b""
        if isinstance(event, Started):
            return b""
        return self._end_call() + self._written(event)

    def _written(self, event: ContentDelta | ReasoningDelta | ToolCallStart | Finished) -> bytes:
        if isinstance(event, ContentDelta):
            return self._line({"content": event.text})
        if isinstance(event, ReasoningDelta):
            return self._line({"thinking": event.text})
        if isinstance(event, ToolCallStart):
            self._call = ToolCall(event.id, event.name)
            return b""
        return self._line({}, done_fields(event, self._began_ns, self._load_seconds))

    def _end_call(self) -> bytes:
        call, self._call = self._call, None
        if call is None:
            return b""
        said = _calls([call], self._num_calls)
        self._num_calls += 1
        return self._line(said)

    def _line(self, said: Said, more: dict[str, Any] | None = None) -> bytes:
        body = {"model": self._model, "created_at": now(), **self._shape(said), "done": False}
        tokens, self._tokens = self._tokens, []
        if tokens:
            body["logprobs"] = _logprobs(tokens)
        return _encode(body | (more or {})) + b"\n"


def whole(
    model: str, shape: Shape, completion: Completion, began_ns: int, load_seconds: float
) -> dict[str, Any]:
    """The answer in one piece."""
    choice = completion.choices[0]
    assert choice.finished is not None
    body = {"model": model, "created_at": now(), **shape(_said(choice))}
    if choice.tokens:
        body["logprobs"] = _logprobs(choice.tokens)
    return body | done_fields(choice.finished, began_ns, load_seconds)


def _said(choice: Choice) -> Said:
    calls = _calls(choice.tool_calls)
    said: Said = {"content": choice.content + calls.pop("content", "")}
    if choice.reasoning:
        said["thinking"] = choice.reasoning
    return said | calls


def _calls(calls: Sequence[ToolCall], first: int = 0) -> Said:
    """Whole calls, arguments as an object; what was cut off before it was one stays text."""
    told, rest = [], ""
    for index, call in enumerate(calls, first):
        try:
            arguments = json.loads(call.arguments or "{}")
        except ValueError:
            rest += call.arguments
            continue
        function = {"index": index, "name": call.name, "arguments": arguments}
        told.append({"id": call.id, "function": function})
    said: Said = {"tool_calls": told} if told else {}
    return said | {"content": rest} if rest else said


def _logprobs(tokens: Sequence[TokenEntry]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = chat_logprobs(tokens)["content"]
    return entries
