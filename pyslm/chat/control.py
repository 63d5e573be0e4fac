"""The tokens of a vocabulary that ordinary text does not turn into."""

from __future__ import annotations

from pyslm.tokenizer import Tokenizer
from pyslm.tokenizer.vocabulary import TokenType

__all__ = ["control_tokens"]

_SPECIAL = (TokenType.CONTROL, TokenType.USER_DEFINED)


def control_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Text -> id of a model's control tokens, and of those that its makers added for markers."""
    types = tokenizer.token_types
    special = [token for token in range(tokenizer.vocab_size) if types[token] in _SPECIAL]
    return {tokenizer.token_text(token): token for token in special}
