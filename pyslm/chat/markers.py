"""Markers that a model writes by single control tokens, told apart from text that spells them.

Inside the parsers a control token is one character that no text can hold: a lone surrogate. So the
parsers work on one string, and ordinary text that merely says "<tool_call>" never matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["Markers"]

_FIRST = 0xD800
_SURROGATES = re.compile("[\ud800-\udfff]")


class Markers:
    """The markers of one format, for one vocabulary."""

    def __init__(self, texts: Iterable[str], control: Mapping[str, int] | None = None) -> None:
        """
        Args:
            texts: the markers that the parser looks for.
            control: the vocabulary's control tokens, text -> id. A marker that is among them counts
                only where that token stands; any other is looked for in the text.
        """
        known = [text for text in dict.fromkeys(texts) if control and text in control]
        self._characters = {text: chr(_FIRST + i) for i, text in enumerate(known)}
        self._texts = {ord(character): text for text, character in self._characters.items()}

    def __getitem__(self, text: str) -> str:
        """What to look for in encoded text."""
        return self._characters.get(text, text)

    def encode(self, text: str, special: bool) -> str:
        """A piece of output for the parsers. `special`: the piece is one control token."""
        if special and text in self._characters:
            return self._characters[text]
        return text if text.isascii() else _SURROGATES.sub("\ufffd", text)

    def decode(self, encoded: str) -> str:
        """The text that a person would read."""
        return encoded.translate(self._texts) if self._texts else encoded
