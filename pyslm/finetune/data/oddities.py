"""Texts as people write them: with apostrophes, commas, foreign letters and numbers inside.

Where a value ends is learned of values. Were they of plain words alone, others would be cut off at
the first apostrophe; were they of known letters alone, at the first that is foreign.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable

__all__ = ["Oddities"]

_ELISIONS = (
    "d'", "l'", "L'", "D'", "O'", "qu'", "all'", "nell'", "Mc", "al-", "von ", "de ",
)  # fmt: skip
_SHORT = (
    "a", "the", "of", "on", "in", "my", "me", "you", "your", "to", "we", "is", "it", "no", "not",
    "with", "without", "up", "down", "for", "and", "or", "all", "at", "by", "from", "one", "never",
)  # fmt: skip
_AFTER = ("'s", "'s", "?", "!", "...", ".", "%", "+", "*", "'", ")")
_BEFORE = ("St. ", "No. ", "Mt. ", "#", "@", "The ", "Las ", "A ", "El ", "(")
_SIGNS = "-–/:;,.+&_|=%'()#@~*"
# First and last of letters and signs in Unicode; more often of those near to English.
_ALPHABETS = (
    (0xA1, 0xAC), (0xAE, 0xBF), (0xC0, 0xD6), (0xD8, 0xF6), (0xD8, 0xF6), (0xF8, 0xFF),
    (0x100, 0x17F), (0x391, 0x3A1),
    (0x3B1, 0x3C9), (0x410, 0x44F), (0x430, 0x44F), (0x1EA0, 0x1EF9), (0x3041, 0x3093),
    (0x30A2, 0x30F3), (0x4E00, 0x9FA5), (0x5D0, 0x5EA), (0x627, 0x63A), (0xAC00, 0xD7A3),
    (0x20A0, 0x20BF), (0x2190, 0x21FF), (0x1F300, 0x1F64F),
)  # fmt: skip


class Oddities:
    """Makes texts odd; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, word: Callable[[], str]) -> None:
        self._rng = rng
        self._word = word
        self._changes = (
            self._owner, self._elided, self._foreign_letter, self._foreign_letter, self._end,
            self._begin, self._numbered, self._listed, self._listed, self._labelled,
        )  # fmt: skip
        self._new = (
            self._foreign, self._joined, self._groups, self._pieces, self._pieces, self._phrase,
            self._phrase, self._phrase, self._pair, self._pair,
        )  # fmt: skip

    def of(self, text: str) -> str:
        """The text made odd, or another that is."""
        if self._rng.random() < 0.6:
            return self._rng.choice(self._changes)(text)
        return self._rng.choice(self._new)()

    def _owner(self, text: str) -> str:
        owner = self._word().title()
        return self._rng.choice((f"{owner}'s {text}", f"{text}'s {owner}", f"{text}s' {owner}"))

    def _elided(self, text: str) -> str:
        name = self._rng.choice(_ELISIONS) + self._word().capitalize()
        return self._rng.choice((name, f"{text} {name}", f"{name} {text}"))

    def _letter(self) -> str:
        return chr(self._rng.randint(*self._rng.choice(_ALPHABETS)))

    def _foreign_letter(self, text: str) -> str:
        """One letter or two are foreign."""
        letters = list(text)
        for _ in range(self._rng.choice((1, 1, 2))):
            letters[self._rng.randrange(len(letters))] = self._letter()
        return "".join(letters)

    def _foreign(self) -> str:
        """A word, or two, of another alphabet."""
        rng = self._rng
        first, last = rng.choice(_ALPHABETS)
        words = [
            "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(2, 6)))
            for _ in range(rng.choice((1, 1, 2)))
        ]
        return " ".join(words)

    def _end(self, text: str) -> str:
        return text + self._rng.choice(_AFTER)

    def _begin(self, text: str) -> str:
        return self._rng.choice(_BEFORE) + text

    def _numbered(self, text: str) -> str:
        number = self._rng.randint(0, 10 ** self._rng.randint(1, 4))
        forms = (
            f"{number}% {text}", f"{text} {number}", f"{number} {text}", f"{text}{number}",
            f"{number}th {text}", f"{text} {number / 10}", f"{text}.{number}", f"{number}{text}",
        )  # fmt: skip
        return self._rng.choice(forms)

    def _listed(self, text: str) -> str:
        rng = self._rng
        return text + rng.choice((", ", " / ", " & ", " and ", ",", " + ", ": ", " - ")) + (
            self._word() if rng.random() < 0.7 else self._word().capitalize()
        )  # fmt: skip

    def _joined(self) -> str:
        """Words or numbers with signs, of one kind or of several, between."""
        rng = self._rng
        parts = [
            self._word() if rng.random() < 0.5 else str(rng.randint(0, 10 ** rng.randint(1, 4)))
            for _ in range(rng.randint(2, 4))
        ]
        sign = rng.choice(_SIGNS)
        made = parts[0]
        for part in parts[1:]:
            made += (sign if rng.random() < 0.6 else rng.choice(_SIGNS)) + part
        return made.title() if rng.random() < 0.3 else made

    def _groups(self) -> str:
        """Digits in groups."""
        rng = self._rng
        groups = [
            "".join(rng.choices(string.digits, k=rng.randint(1, 6)))
            for _ in range(rng.randint(2, 5))
        ]
        return rng.choice("--./ :").join(groups)

    def _piece(self) -> str:
        word = self._word()
        begin = self._rng.randrange(max(1, len(word) - 2))
        return word[begin : begin + self._rng.randint(2, 5)] or word

    def _pieces(self) -> str:
        """Of parts of words: all that a token can be comes up."""
        rng = self._rng
        made = "".join(self._piece() for _ in range(rng.randint(1, 3)))
        if rng.random() < 0.15:
            made += rng.choice("-_") + self._piece()
        made = rng.choice((made, made.capitalize(), made.capitalize(), made.title(), made.upper()))
        return made if rng.random() < 0.6 else f"{made} {self._piece().capitalize()}"

    def _pair(self) -> str:
        """Two words that are one name: the second as small as any other, or of pieces."""
        second = self._word() if self._rng.random() < 0.5 else self._piece() + self._piece()
        made = f"{self._word()} {second.lower()}"
        return made.capitalize() if self._rng.random() < 0.6 else made

    def _phrase(self) -> str:
        """With the small words of titles and questions."""
        rng = self._rng
        words = [
            rng.choice(_SHORT) if rng.random() < 0.45 else self._word()
            for _ in range(rng.randint(2, 5))
        ]
        made = " ".join(words)
        made = rng.choice((made, made.title(), made.title(), made.capitalize()))
        return made + rng.choice(("", "", "", "?", "?", "!"))

    def _labelled(self, text: str) -> str:
        rng = self._rng
        label = rng.choice(
            (rng.choice(string.ascii_uppercase), str(rng.randint(0, 99)), "5G", "v2")
        )
        return text.replace(" ", "") + rng.choice(("-", "_", " ", "")) + label
