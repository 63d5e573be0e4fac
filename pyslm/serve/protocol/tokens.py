"""Text to token ids and back."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["DetokenizeRequest", "TokenizeRequest", "TokenizeResult"]


class TokenizeRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Text, or a conversation as the model's template writes it, to token ids."""

    text: str | None = None
    add_special_tokens: bool = True
    parse_special: bool = False
    messages: list[dict[str, Any]] | None = None
    """As in `GenerateRequest`; this or `text`."""
    tools: list[dict[str, Any]] | None = None
    template_options: dict[str, Any] = {}
    add_generation_prompt: bool = True
    with_pieces: bool = False
    with_prompt: bool = False


class TokenizeResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Token ids."""

    ids: list[int]
    context_length: int
    pieces: list[bytes] | None = None
    """Text bytes of each id, with `with_pieces`."""
    prompt: str | None = None
    """What the template wrote, with `with_prompt`."""


class DetokenizeRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Token ids to text."""

    ids: list[int]
    skip_special_tokens: bool = True
