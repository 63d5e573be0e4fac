"""A completion as chunks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pyslm.serve.openai.common import FINGERPRINT, usage_object
from pyslm.serve.openai.completion_request import CompletionRequest
from pyslm.serve.openai.logprobs import completion_logprobs
from pyslm.serve.openai.sse import DONE, PING, error_event, json_event
from pyslm.serve.protocol import (
    ContentDelta,
    Event,
    Finished,
    ServeError,
    Started,
    TokenEntry,
    TokensDelta,
)

__all__ = ["CompletionWriter", "echo_tokens"]


class CompletionWriter:
    """Writes `text_completion` chunks."""

    def __init__(self, ident: str, model: str, body: CompletionRequest) -> None:
        self._head = {
            "id": ident,
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        self._body = body
        self._per_prompt = body.n or 1
        options = body.stream_options
        self._with_usage = options is not None and bool(options.include_usage)
        self._tokens: dict[int, list[TokenEntry]] = {}
        self._offsets: dict[int, int] = {}
        self._num_started = 0
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._cached_tokens = 0

    def begin(self) -> bytes:
        return b""

    def events(self, events: Sequence[Event]) -> bytes:
        return b"".join(map(self._write, events))

    def end(self) -> bytes:
        if not self._with_usage:
            return DONE
        usage = usage_object(self._prompt_tokens, self._completion_tokens, self._cached_tokens)
        return json_event({**self._head, "choices": [], "usage": usage}) + DONE

    def error(self, error: ServeError) -> bytes:
        return error_event(error)

    def ping(self) -> bytes:
        return PING

    def _write(self, event: Event) -> bytes:
        if isinstance(event, Started):
            return self._start(event)
        if isinstance(event, Finished):
            return self._finish(event)
        if self._body.only_prompt:
            return b""
        if isinstance(event, ContentDelta):
            return self._chunk(event.choice, event.text)
        if isinstance(event, TokensDelta):
            self._tokens.setdefault(event.choice, []).extend(event.tokens)
        return b""

    def _start(self, event: Started) -> bytes:
        first = self._num_started * self._per_prompt
        self._num_started += 1
        self._prompt_tokens += event.prompt_tokens
        if not self._body.echo:
            return b""
        chunks = []
        for index in range(first, first + self._per_prompt):
            if self._body.logprobs is not None:
                self._tokens[index] = echo_tokens(event)
            chunks.append(self._chunk(index, event.prompt_text or ""))
        return b"".join(chunks)

    def _finish(self, event: Finished) -> bytes:
        if event.choice % self._per_prompt == 0:
            self._cached_tokens += event.cached_tokens
        if self._body.only_prompt:
            return self._chunk(event.choice, "", "length")
        self._completion_tokens += event.completion_tokens
        return self._chunk(event.choice, "", event.reason, event.stop_reason)

    def _chunk(
        self,
        index: int,
        text: str,
        reason: str | None = None,
        stop_reason: str | int | None = None,
    ) -> bytes:
        choice: dict[str, Any] = {
            "index": index,
            "text": text,
            "logprobs": None,
            "finish_reason": reason,
        }
        tokens = self._tokens.pop(index, None)
        if tokens and self._body.logprobs is not None:
            as_ids = bool(self._body.return_tokens_as_token_ids)
            offset = self._offsets.get(index, 0)
            choice["logprobs"] = completion_logprobs(tokens, offset, as_ids=as_ids)
            self._offsets[index] = offset + sum(len(t.text) for t in tokens if t.raw)
        if tokens and self._body.return_token_ids:
            choice["token_ids"] = [token.id for token in tokens]
        if stop_reason is not None:
            choice["stop_reason"] = stop_reason
        body: dict[str, Any] = {**self._head, "choices": [choice]}
        if self._with_usage:
            body["usage"] = None
        return json_event(body)


def echo_tokens(started: Started) -> list[TokenEntry]:
    """The prompt's tokens with their likelihoods; the first has none."""
    return list(started.prompt_logprobs or ())
