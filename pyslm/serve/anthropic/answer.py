"""An answer as Anthropic's blocks, whole and as a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic_core import from_json

from pyslm.serve.anthropic.error import error_object
from pyslm.serve.anthropic.request import MessagesRequest
from pyslm.serve.protocol import (
    ContentDelta,
    Event,
    EventStream,
    Finished,
    ReasoningDelta,
    ServeError,
    Started,
    ToolCallArguments,
    ToolCallStart,
)

__all__ = ["MessageWriter", "collect_message"]

_SIGNATURE = "pyslm"  # clients send it back with the thoughts; there is nothing to verify
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'

_encode = msgspec.json.encode


class MessageWriter:
    """Writes the events of a message, whose blocks begin, grow and end one after the other."""

    def __init__(self, ident: str, model: str, body: MessagesRequest) -> None:
        self._head = _message(ident, model)
        self._body = body
        self._index = -1
        self._type = ""  # of the open block

    def begin(self) -> bytes:
        return b""  # the count of the prompt's tokens comes with the first event

    def events(self, events: Sequence[Event]) -> bytes:
        return b"".join(map(self._write, events))

    def end(self) -> bytes:
        return _event("message_stop")

    def error(self, error: ServeError) -> bytes:
        return b"event: error\ndata: " + _encode(error_object(error)) + b"\n\n"

    def ping(self) -> bytes:
        return _PING

    def _write(self, event: Event) -> bytes:
        if isinstance(event, ContentDelta):
            return self._grow("text", "text_delta", "text", event.text)
        if isinstance(event, ReasoningDelta):
            return self._grow("thinking", "thinking_delta", "thinking", event.text)
        if isinstance(event, ToolCallArguments):
            return self._delta("input_json_delta", "partial_json", event.text)
        if isinstance(event, ToolCallStart):
            return self._open(_call_block(event.id, event.name))
        if isinstance(event, Started):
            usage = _usage(event.prompt_tokens, 0, 0)
            return _event("message_start", message=self._head | {"usage": usage}) + _PING
        if isinstance(event, Finished):
            return self._close() + _event(
                "message_delta", delta=_stop(event, self._body), usage=_usage_of(event)
            )
        return b""

    def _grow(self, kind: str, delta: str, field: str, text: str) -> bytes:
        opened = b""
        if self._type != kind:
            opened = self._open(_thoughts("", "") if kind == "thinking" else _text_block(""))
        return opened + self._delta(delta, field, text)

    def _open(self, block: dict[str, Any]) -> bytes:
        closed = self._close()
        self._index += 1
        self._type = block["type"]
        return closed + _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, kind: str, field: str, text: str) -> bytes:
        delta = {"type": kind, field: text}
        return _event("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> bytes:
        if not self._type:
            return b""
        signed = b""
        if self._type == "thinking":
            signed = self._delta("signature_delta", "signature", _SIGNATURE)
        self._type = ""
        return signed + _event("content_block_stop", index=self._index)


async def collect_message(
    stream: EventStream, ident: str, model: str, body: MessagesRequest
) -> dict[str, Any]:
    """The whole message, with its blocks in the order in which they were written.

    Raises:
        ServeError: the request failed under way.
    """
    blocks = _Blocks()
    finished: Finished | None = None
    try:
        async for event in stream:
            if isinstance(event, Finished):
                finished = event
            blocks.add(event)
    finally:
        await stream.aclose()
    assert finished is not None
    end = _stop(finished, body) | {"usage": _usage_of(finished)}
    return _message(ident, model) | {"content": blocks.whole()} | end


class _Blocks:
    """The blocks of a message so far; the input of a call is text until it is whole."""

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = []

    def add(self, event: Event) -> None:
        if isinstance(event, ContentDelta):
            self._last("text")["text"] += event.text
        elif isinstance(event, ReasoningDelta):
            self._last("thinking")["thinking"] += event.text
        elif isinstance(event, ToolCallStart):
            self._blocks.append(_call_block(event.id, event.name) | {"input": ""})
        elif isinstance(event, ToolCallArguments):
            self._blocks[-1]["input"] += event.text

    def whole(self) -> list[dict[str, Any]]:
        for block in self._blocks:
            if block["type"] == "tool_use":
                block["input"] = _input(block["input"])
        return self._blocks

    def _last(self, kind: str) -> dict[str, Any]:
        if not self._blocks or self._blocks[-1]["type"] != kind:
            empty = _thoughts("", _SIGNATURE) if kind == "thinking" else _text_block("")
            self._blocks.append(empty)
        return self._blocks[-1]


def _input(text: str) -> dict[str, Any]:
    """Of a call that `max_tokens` cut, what there is; as Anthropic's client reads its stream."""
    try:
        found = from_json(text or "{}", allow_partial=True)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _message(ident: str, model: str) -> dict[str, Any]:
    return {
        "id": ident,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _thoughts(thinking: str, signature: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": thinking, "signature": signature}


def _call_block(ident: str, name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": ident, "name": name, "input": {}}


def _stop(finished: Finished, body: MessagesRequest) -> dict[str, Any]:
    sequence = finished.stop_reason
    if sequence not in (body.stop_sequences or ()):
        sequence = None  # the end of a turn, as the model's template writes it
    if finished.reason == "tool_calls":
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if finished.reason == "length":
        filled = finished.completion_tokens < body.max_tokens
        reason = "model_context_window_exceeded" if filled else "max_tokens"
        return {"stop_reason": reason, "stop_sequence": None}
    reason = "end_turn" if sequence is None else "stop_sequence"
    return {"stop_reason": reason, "stop_sequence": sequence}


def _usage_of(finished: Finished) -> dict[str, Any]:
    return _usage(finished.prompt_tokens, finished.cached_tokens, finished.completion_tokens)


def _usage(prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """As with Anthropic, input tokens are those that were not cached."""
    return {
        "input_tokens": prompt_tokens - cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached_tokens,
        "output_tokens": completion_tokens,
    }


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **fields}))
