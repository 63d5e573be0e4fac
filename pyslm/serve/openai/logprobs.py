"""Log-probabilities in the two shapes that OpenAI has for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyslm.serve.protocol import TokenEntry

__all__ = ["chat_logprobs", "completion_logprobs"]

_LEAST = -9999.0  # JSON has no -inf


def chat_logprobs(tokens: Sequence[TokenEntry], *, as_ids: bool = False) -> dict[str, Any]:
    """{"content": [{token, logprob, bytes, top_logprobs}]}."""
    return {
        "content": [
            {
                **_chat_entry(token.id, token.text, token.raw, token.logprob or 0.0, as_ids),
                "top_logprobs": [_chat_entry(*top, as_ids) for top in token.top],
            }
            for token in tokens
        ],
        "refusal": None,
    }


def _chat_entry(ident: int, text: str, raw: bytes, logprob: float, as_ids: bool) -> dict[str, Any]:
    return {
        "token": f"token_id:{ident}" if as_ids else text,
        "logprob": max(logprob, _LEAST),
        "bytes": list(raw),
    }


def completion_logprobs(
    tokens: Sequence[TokenEntry], offset: int, *, as_ids: bool = False
) -> dict[str, Any]:
    """{"tokens", "token_logprobs", "top_logprobs", "text_offset"}.

    Args:
        offset: characters of the text before these tokens.
    """
    names, logprobs, tops, offsets = [], [], [], []
    for token in tokens:
        names.append(f"token_id:{token.id}" if as_ids else token.text)
        logprobs.append(None if token.logprob is None else max(token.logprob, _LEAST))
        top = {
            (f"token_id:{ident}" if as_ids else text): max(logprob, _LEAST)
            for ident, text, _, logprob in token.top
        }
        tops.append(top or None)
        offsets.append(offset)
        offset += len(token.text) if token.raw else 0
    return {
        "tokens": names,
        "token_logprobs": logprobs,
        "top_logprobs": tops,
        "text_offset": offsets,
    }
