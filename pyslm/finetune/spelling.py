"""Embeddings to begin with that are alike where tokens are spelled alike.

A small model must see that "adopt", "Adopt" and "adoption" belong together before it can find the
tool that a request speaks of. From random vectors it learns that token by token; here it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["spelling_embedding"]

_STEM_CHARS = 4  # a common beginning counts most
_OWN_SHARE = 0.6  # of what tells a token from all others, beside 1 for its spelling


def spelling_embedding(
    tokens: Sequence[str], size: int, seed: int, std: float
) -> npt.NDArray[np.float32]:
    """Vectors of tokens, float32 [tokens, size], elements of standard deviation `std`.

    A vector is the sum of random ones for the token's character n-grams without regard to case
    (Bojanowski et al. 2017) and of one of its own. Tokens without two letters get only the latter.

    Args:
        tokens: as the vocabulary writes them; "Ġ" is a space.
        seed: of the vectors of their own; those of n-grams depend on the n-gram alone.
    """
    own = np.random.default_rng(seed).standard_normal((len(tokens), size))
    vectors = np.empty((len(tokens), size))
    for i, token in enumerate(tokens):
        parts = [_vector(gram, size) * weight for gram, weight in _grams(token)]
        spelling = np.sum(parts, axis=0) if parts else np.zeros(size)
        norm = np.linalg.norm(spelling) / np.sqrt(size)
        share = _OWN_SHARE if parts else 1.0
        vector = spelling / max(norm, 1e-9) + share * own[i]
        vectors[i] = vector / np.sqrt(np.mean(vector**2))
    return (std * vectors).astype(np.float32)


def _grams(token: str) -> list[tuple[str, float]]:
    """N-grams of a word with their weights: its beginnings, and threes and fours inside."""
    word = token.replace("Ġ", "").lower()
    if len(word) < 2 or not word.isalpha():
        return []
    bounded = f"<{word}>"
    grams = [(bounded[i : i + n], 0.5) for n in (3, 4) for i in range(len(bounded) - n + 1)]
    begin = bounded[: _STEM_CHARS + 1]
    return [*grams, (f"begin {begin}", 1.5), (f"word {bounded}", 1.5)]


def _vector(gram: str, size: int) -> npt.NDArray[np.float64]:
    digest = hashlib.sha256(gram.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little")).standard_normal(size)
