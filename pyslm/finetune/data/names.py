"""Identifiers in the styles of programmers."""

from __future__ import annotations

import random
import re

__all__ = ["content_words", "identifier"]

_FUNCTION_WORDS = frozenset(
    {"the", "and", "for", "with", "from", "that", "this", "into", "one", "any", "all", "its", "are",
     "was", "has", "have", "been", "who", "what", "when", "where", "how", "your", "our", "their",
     "them", "they", "you", "her", "his", "can", "not", "now", "out", "off", "get", "use", "each",
     "every", "some", "which", "there", "will", "per"}
)  # fmt: skip


def identifier(words: list[str], rng: random.Random) -> str:
    """One of the ways to write `words` as a name."""
    style = rng.random()
    parts = [word.lower() for text in words for word in text.split()]
    if style < 0.5:
        return "_".join(parts)
    if style < 0.68:
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    if style < 0.76:
        return "".join(part.capitalize() for part in parts)
    if style < 0.84:
        return "-".join(parts)
    if style < 0.92:
        return ".".join((*parts[1:], parts[0]))
    if style < 0.96:
        return "_".join((*parts[1:], parts[0]))
    return "_".join((rng.choice(("do", "api", "tool", "v2", "my", "x")), *parts))


def content_words(text: str) -> list[str]:
    """The words of lower-case `text` that say what it is about, in their order."""
    return [word for word in re.findall(r"[a-z]{3,}", text) if word not in _FUNCTION_WORDS]
