"""Tokens as clients see them: with their text, bytes and likelihoods."""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.request import TokenLogprobs
from pyslm.serve.protocol.event import TokenEntry
from pyslm.tokenizer import Tokenizer

__all__ = ["TokenText"]


class TokenText:
    """Writes out ids of one vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def entries(
        self, ids: Sequence[int], logprobs: Sequence[TokenLogprobs] | None
    ) -> list[TokenEntry]:
        """One entry for each id."""
        if logprobs is None:
            return [TokenEntry(token, *self._text(token)) for token in ids]
        return [self._entry(known) for known in logprobs]

    def _entry(self, known: TokenLogprobs) -> TokenEntry:
        top = tuple((token, *self._text(token), logprob) for token, logprob in known.top)
        return TokenEntry(known.token_id, *self._text(known.token_id), known.logprob, top)

    def _text(self, token: int) -> tuple[str, bytes]:
        raw = self._tokenizer.token_bytes(token)
        if not raw:
            written = self._tokenizer.token_text(token)
            return written, written.encode()
        return raw.decode("utf-8", "replace"), raw
