"""Tokens for everyday words: what a word has to do with others is known of a token, not of pieces.

Pairs of tokens are merged at the end, after all merges that were learned, so that only texts with
these words become other tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["everyday_words", "with_words"]

_ENDINGS = frozenset(("s", "es", "d", "ed", "ing"))
_AT_ONCE = 300  # words, before those that follow are taken apart anew
_MOST_PIECES = 3  # of a word: each but the first takes a token
_CAPITALS = 900  # so many words have a token for the beginning of a sentence, too

Encode = Callable[[list[str]], list[list[str]]]
"""Texts to the tokens that they are."""


@functools.cache
def everyday_words() -> tuple[str, ...]:
    """The packaged words, the most frequent first; see `data.compile_everyday`."""
    path = Path(__file__).with_name("data") / "everyday.txt"
    return tuple(path.read_text(encoding="ascii").split())


def with_words(
    tokens: Sequence[str],
    merges: Sequence[str],
    words: Sequence[str],
    size: int,
    encoder: Callable[[list[str], list[str]], Encode],
) -> tuple[list[str], list[str]]:
    """The tokens and merges, and those that make `words` tokens, as far as `size` tokens go.

    A form told apart by its ending alone ("cameras", where "camera" is a token) is left in pieces.

    Args:
        words: of small letters, the most needed first.
        encoder: makes of tokens and merges what takes texts apart.
    """
    grown = _Grown(list(tokens), list(merges), size)
    for begin in range(0, len(words), _AT_ONCE):
        plain = list(words[begin : begin + _AT_ONCE])
        capital = [word.capitalize() for word in plain] if begin < _CAPITALS else []
        for chunk in (plain, capital):
            # Again, for a word's own merges may come after others of the chunk.
            while chunk and grown.join_all(encoder(grown.tokens, grown.merges)(chunk)):
                pass
        if len(grown.tokens) == size:
            break
    return grown.tokens, grown.merges


class _Grown:
    def __init__(self, tokens: list[str], merges: list[str], size: int) -> None:
        self.tokens = tokens
        self.merges = merges
        self._known = set(tokens)
        self._merged = set(merges)
        self._size = size

    def join_all(self, words: list[list[str]]) -> bool:
        """Makes one token of the pieces of each, where there is room; whether anything changed."""
        before = len(self.merges)
        for pieces in words:
            self._join(pieces)
        return len(self.merges) > before

    def _join(self, pieces: list[str]) -> None:
        ends = len(pieces) == 2 and pieces[1] in _ENDINGS
        if not 2 <= len(pieces) <= _MOST_PIECES or ends:
            return
        pairs = list(_pairs(pieces))
        new = [a + b for a, b in pairs if a + b not in self._known]
        if len(self.tokens) + len(new) > self._size:
            return
        self.tokens += new
        self._known.update(new)
        fresh = [merge for a, b in pairs if (merge := f"{a} {b}") not in self._merged]
        self.merges += fresh
        self._merged.update(fresh)


def _pairs(pieces: list[str]) -> Iterator[tuple[str, str]]:
    """What is merged, from the left."""
    whole = pieces[0]
    for piece in pieces[1:]:
        yield whole, piece
        whole += piece
