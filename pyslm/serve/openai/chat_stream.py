"""A chat answer as chunks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from pyslm.serve.openai.chat_request import ChatRequest
from pyslm.serve.openai.common import FINGERPRINT, usage_object
from pyslm.serve.openai.logprobs import chat_logprobs
from pyslm.serve.openai.sse import DONE, PING, error_event, json_event
from pyslm.serve.protocol import (
    ContentDelta,
    Event,
    Finished,
    ReasoningDelta,
    ServeError,
    Started,
    TokenEntry,
    TokensDelta,
    ToolCallArguments,
    ToolCallStart,
)

__all__ = ["ChatWriter"]

_encode = msgspec.json.encode


class ChatWriter:
    """Writes `chat.completion.chunk`s."""

    def __init__(self, ident: str, model: str, body: ChatRequest) -> None:
        self._head = {
            "id": ident,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        self._body = body
        self._num_choices = body.n or 1
        options = body.stream_options
        self._with_usage = options is not None and bool(options.include_usage)
        self._tokens: dict[int, list[TokenEntry]] = {}
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._cached_tokens = 0
        self._reasoning_tokens = 0
        # Most chunks differ in their text only.
        usage = b',"usage":null}' if self._with_usage else b"}"
        self._before = b"data: " + _encode(self._head)[:-1] + b',"choices":[{"index":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + usage + b"\n\n"

    def begin(self) -> bytes:
        first = {"role": "assistant", "content": ""}
        return b"".join(self._chunk(i, first) for i in range(self._num_choices))

    def events(self, events: Sequence[Event]) -> bytes:
        if len(events) == 1:
            return self._write(events[0])
        return b"".join(map(self._write, events))

    def end(self) -> bytes:
        if not self._with_usage:
            return DONE
        usage = usage_object(
            self._prompt_tokens,
            self._completion_tokens,
            self._cached_tokens,
            self._reasoning_tokens,
        )
        return json_event({**self._head, "choices": [], "usage": usage}) + DONE

    def error(self, error: ServeError) -> bytes:
        return error_event(error)

    def ping(self) -> bytes:
        return PING

    def _write(self, event: Event) -> bytes:
        kind = type(event)
        if kind is ContentDelta and not self._tokens:
            return b'%b%d,"delta":{"content":%b%b' % (
                self._before,
                event.choice,  # type: ignore[union-attr]
                _encode(event.text),  # type: ignore[union-attr]
                self._after,
            )
        if isinstance(event, ContentDelta):
            return self._chunk(event.choice, {"content": event.text})
        if isinstance(event, ReasoningDelta):
            details = [{"type": "reasoning.text", "text": event.text}]
            delta = {"reasoning_content": event.text, "reasoning_details": details}
            return self._chunk(event.choice, delta)
        if isinstance(event, ToolCallStart | ToolCallArguments):
            return self._chunk(event.choice, self._call(event))
        if isinstance(event, TokensDelta):
            self._tokens.setdefault(event.choice, []).extend(event.tokens)
            return b""
        if isinstance(event, Started):
            self._prompt_tokens = event.prompt_tokens
            return b""
        return self._finish(event)

    def _call(self, event: ToolCallStart | ToolCallArguments) -> dict[str, Any]:
        if isinstance(event, ToolCallStart):
            function = {"name": event.name, "arguments": ""}
            call = {"index": event.call, "id": event.id, "type": "function", "function": function}
        else:
            function = {"arguments": event.text}
            call = {"index": event.call, "function": function}
        return {"function_call": function} if self._body.is_legacy else {"tool_calls": [call]}

    def _finish(self, event: Finished) -> bytes:
        self._completion_tokens += event.completion_tokens
        self._reasoning_tokens += event.reasoning_tokens
        if event.choice == 0:
            self._cached_tokens = event.cached_tokens
        reason: str = event.reason
        if self._body.is_legacy and reason == "tool_calls":
            reason = "function_call"
        return self._chunk(event.choice, {}, reason, event.stop_reason)

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        reason: str | None = None,
        stop_reason: str | int | None = None,
    ) -> bytes:
        tokens = self._tokens.pop(index, None)
        choice: dict[str, Any] = {
            "index": index,
            "delta": delta,
            "logprobs": None,
            "finish_reason": reason,
        }
        if tokens and self._body.logprobs:
            as_ids = bool(self._body.return_tokens_as_token_ids)
            choice["logprobs"] = chat_logprobs(tokens, as_ids=as_ids)
        if tokens and self._body.return_token_ids:
            choice["token_ids"] = [token.id for token in tokens]
        if stop_reason is not None:
            choice["stop_reason"] = stop_reason
        body: dict[str, Any] = {**self._head, "choices": [choice]}
        if self._with_usage:
            body["usage"] = None
        return json_event(body)
