"""Texts to vectors."""

from __future__ import annotations

import msgspec

__all__ = ["EmbedRequest", "EmbedResult"]


class EmbedRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Asks for one vector for each input."""

    id: str
    inputs: list[str | list[int]]
    """Texts, or token ids."""
    dimensions: int | None = None
    """Keep only the first so many numbers and make the vectors unit length again."""
    truncate: bool = False
    """Cut what is longer than the context; otherwise that is a "context_length" error."""
    normalize: bool = True
    adapter: str | None = None
    """Name of a LoRA adapter of the loaded model."""
    cache_salt: str = ""
    """As in `SamplingParams`; the front sets it where keys are kept apart."""


class EmbedResult(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors, in the order of the inputs."""

    vectors: list[bytes]
    """Each: `dimensions` little-endian float32."""
    dimensions: int
    num_tokens: list[int]
    """Of each input."""
    truncated: list[int] = []
    """The positions of inputs that were cut, with `truncate`."""
    load_seconds: float = 0.0
    """What the request waited for the model to be loaded; told by the front."""
