"""Byte-level BPE for the first few texts of a process.

The library's model takes 0.4 s to build of 280 k merges, as long as all the rest of a model's
second start. What this one needs is there after a tenth of that; it is slower by far at each text.
Merges that do not fit the tokens are passed over here, and told when the library's model is built.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

from tokenizers import pre_tokenizers

__all__ = ["ShortBpe"]

MAX_CHARS = 8000
"""Of all texts together: about 40 ms."""
_MAX_WORD_CHARS = 200  # each merge looks at the whole word


class ShortBpe:
    """Gives the ids that the library's BPE gives, of short texts."""

    def __init__(
        self,
        tokens: dict[str, int],
        hidden: set[str],
        merges: list[str],
        splitter: pre_tokenizers.PreTokenizer,
        *,
        ignore_merges: bool,
    ) -> None:
        """Copies and builds nothing yet.

        Args:
            tokens: ids by text, in the byte alphabet.
            hidden: those that no text may become.
            merges: "left right", in order of rank.
            splitter: cuts text into words, in the byte alphabet.
            ignore_merges: a word that is a token is taken whole.
        """
        self._tokens = tokens
        self._hidden = hidden
        self._merges = merges
        self._splitter = splitter
        self._ignore_merges = ignore_merges
        self._left = MAX_CHARS

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return dict(zip(self._merges, range(len(self._merges)), strict=True))

    def encode(self, texts: list[str]) -> list[list[int]] | None:
        """The ids of each text; None where the library's model is the better choice by now."""
        self._left -= sum(map(len, texts))
        if self._left < 0:
            return None
        found = []
        for text in texts:
            words = [word for word, _ in self._splitter.pre_tokenize_str(text)]
            if any(len(word) > _MAX_WORD_CHARS for word in words):
                return None
            found.append([token for word in words for token in self._word(word)])
        return found

    def _word(self, word: str) -> list[int]:
        if self._ignore_merges and (token := self._id(word)) is not None:
            return [token]
        pieces = list(word)
        while True:
            best, place = len(self._merges), -1
            for i, (left, right) in enumerate(pairwise(pieces)):
                rank = self._ranks.get(f"{left} {right}", best)
                if rank < best and self._id(left + right) is not None:
                    best, place = rank, i
            if place < 0:
                return [token for token in map(self._id, pieces) if token is not None]
            pieces[place : place + 2] = ["".join(pieces[place : place + 2])]

    def _id(self, text: str) -> int | None:
        return None if text in self._hidden else self._tokens.get(text)
