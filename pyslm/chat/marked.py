"""Strings that know which of their characters a chat template itself wrote.

Control tokens may be written by the template alone, never by what it quotes. So every string
literal in a template is a `Marked` string with all characters marked, everything else (messages,
tools, arguments, JSON) is an ordinary `str`, and joining the two keeps the marks apart. An
operation that this class does not override falls back to that of `str` and gives an ordinary
string: marks can be lost, which costs at worst a control token that the template meant, but never
gained.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex

__all__ = ["Marked", "join", "literal", "marks_of"]


class Marked(str):
    """A `str` with marks: one byte per character, 1 where the template wrote it, else 0."""

    __slots__ = ("_marks",)  # the underscore keeps templates away from it
    _marks: bytes

    def __new__(cls, text: str, marks: bytes) -> Marked:
        self = super().__new__(cls, str.__str__(text))
        self._marks = marks
        return self

    def __str__(self) -> str:
        return self  # `str(x)` in compiled templates must not drop the marks

    def __add__(self, other: str) -> Marked:
        if not isinstance(other, str):
            return NotImplemented
        return Marked(super().__add__(other), self._marks + marks_of(other))

    def __radd__(self, other: str) -> Marked:
        if not isinstance(other, str):
            return NotImplemented
        return Marked(str.__add__(other, self), marks_of(other) + self._marks)

    def __mul__(self, count: SupportsIndex) -> Marked:
        return Marked(super().__mul__(count), self._marks * count)

    __rmul__ = __mul__

    def __getitem__(self, key: Any) -> Marked:
        text = super().__getitem__(key)
        if isinstance(key, slice):
            return Marked(text, self._marks[key])
        return Marked(text, self._marks[key].to_bytes(1, "little"))

    def lstrip(self, chars: str | None = None, /) -> Marked:
        return self[len(self) - len(super().lstrip(chars)) :]

    def rstrip(self, chars: str | None = None, /) -> Marked:
        return self[: len(super().rstrip(chars))]

    def strip(self, chars: str | None = None, /) -> Marked:
        return self.lstrip(chars).rstrip(chars)

    def join(self, parts: Iterable[str], /) -> Marked:
        pieces: list[str] = []
        for part in parts:
            pieces += (self, part) if pieces else (part,)
        return join(pieces)


def literal(text: str) -> Marked:
    """A string of which the template wrote every character."""
    return Marked(text, b"\x01" * len(text))


def marks_of(text: str) -> bytes:
    """The marks of any string; of an ordinary one, all zero."""
    return text._marks if isinstance(text, Marked) else bytes(len(text))


def join(pieces: Iterable[str]) -> Marked:
    """Concatenation that keeps the marks."""
    pieces = list(pieces)
    return Marked("".join(pieces), b"".join(map(marks_of, pieces)))
