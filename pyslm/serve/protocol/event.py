"""What a model reports of a request while it runs.

A stream is: `Started`, then deltas of all choices as they come, then for each choice one
`Finished`. Of one choice: thoughts before content, content before its calls, though a model may go
on after a call; calls are numbered in their order and never interleave.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = [
    "ContentDelta",
    "Event",
    "FinishReason",
    "Finished",
    "ReasoningDelta",
    "Started",
    "TokenEntry",
    "TokensDelta",
    "ToolCallArguments",
    "ToolCallStart",
]

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "abort"]


class TokenEntry(msgspec.Struct, frozen=True, array_like=True):
    """One token and, where asked for, its likelihood."""

    id: int
    text: str
    """Bytes that are no UTF-8 by themselves are U+FFFD here."""
    raw: bytes
    """The text bytes it contributes; empty for control tokens."""
    logprob: float | None = None
    """Natural logarithm; None: not asked for."""
    top: tuple[tuple[int, str, bytes, float], ...] = ()
    """(id, text, raw, logprob) of the most likely, best first."""


class Started(msgspec.Struct, frozen=True, tag="started", omit_defaults=True):
    """The request is accepted and in the engine. The first event, once."""

    prompt_tokens: int
    prompt_text: str | None = None
    """With `echo`."""
    prompt_token_ids: list[int] | None = None
    """With `return_token_ids`."""
    prompt_logprobs: list[TokenEntry] | None = None
    """With `sampling.prompt_logprobs`: of each token; the first has none."""


class ContentDelta(msgspec.Struct, frozen=True, tag="content"):
    """More text of the answer."""

    choice: int
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning"):
    """More of the thoughts."""

    choice: int
    text: str


class ToolCallStart(msgspec.Struct, frozen=True, tag="call"):
    """The model begins a call."""

    choice: int
    call: int
    """0, 1, ... within the choice."""
    id: str
    """Unique, made by the worker where the format has none."""
    name: str


class ToolCallArguments(msgspec.Struct, frozen=True, tag="arguments"):
    """More of a call's arguments. Those of one call, joined, are the text of a JSON object."""

    choice: int
    call: int
    text: str


class TokensDelta(msgspec.Struct, frozen=True, tag="tokens"):
    """The tokens of the step, with `logprobs` or `return_token_ids`: those of thoughts and calls
    too. It comes just before the deltas that its tokens made, if they made any yet."""

    choice: int
    tokens: list[TokenEntry]


class Finished(msgspec.Struct, frozen=True, tag="finished", omit_defaults=True):
    """The end of one choice."""

    choice: int
    reason: FinishReason
    prompt_tokens: int
    """Of the request: the same for each choice, counted once."""
    completion_tokens: int
    cached_tokens: int = 0
    """Of the prompt, found in the prefix cache."""
    reasoning_tokens: int = 0
    stop_reason: str | int | None = None
    """The stop string that matched, or the id of the stop token, if the request named it."""
    seed: int = 0
    prompt_seconds: float = 0.0
    """From the start in the engine to the first token."""
    decode_seconds: float = 0.0


Event: TypeAlias = (
    Started
    | ContentDelta
    | ReasoningDelta
    | ToolCallStart
    | ToolCallArguments
    | TokensDelta
    | Finished
)
