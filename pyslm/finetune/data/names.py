"""Identifiers in the styles of programmers, and back to words."""

from __future__ import annotations

import random
import re

__all__ = ["identifier", "spoken"]


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


def spoken(name: str) -> str:
    """The words of an identifier: "maxResults" and "max_results" are both "max results"."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[_.\-]+", " ", text).strip().lower()
