"""How well texts fit each other, and how likely a text is after another."""

from __future__ import annotations

import msgspec

__all__ = ["LikelihoodRequest", "LikelihoodResult", "PairsRequest", "PairsResult"]


class PairsRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Asks for one score for each pair: of a reranker's head, or of the cosine of two vectors."""

    id: str
    pairs: list[tuple[str, str]]
    adapter: str | None = None
    """Name of a LoRA adapter of the loaded model."""
    cache_salt: str = ""
    """As in `SamplingParams`; the front sets it where keys are kept apart."""


class PairsResult(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the pairs; higher is better."""

    scores: list[float]
    are_logits: bool
    """Of a reranker, without bounds; otherwise cosines, -1 to 1."""
    num_tokens: int
    """Read by the model, all together."""


class LikelihoodRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Asks how likely each continuation is after a prompt."""

    id: str
    prompt: str | list[int]
    continuations: list[str | list[int]]
    adapter: str | None = None
    """Name of a LoRA adapter of the loaded model."""
    cache_salt: str = ""
    """As in `SamplingParams`; the front sets it where keys are kept apart."""


class LikelihoodResult(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the continuations."""

    logprobs: list[float]
    """Natural logarithm of the probability of the whole continuation."""
    are_greedy: list[bool]
    """Every token is the most likely one at its place."""
    lengths: list[int]
    """Of the continuations, in tokens."""
    num_tokens: int
    """Prompts and continuations, all together."""
