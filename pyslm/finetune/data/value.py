"""A value of an argument, and how a person says it."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

__all__ = ["Value", "listed"]


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """`data` as JSON has it, `said` as the request has it."""

    data: Any
    said: str


def listed(words: list[str], rng: random.Random) -> str:
    """a, b and c."""
    if len(words) == 1:
        return words[0]
    last = rng.choice((" and ", " and ", ", ", ", and "))
    return ", ".join(words[:-1]) + last + words[-1]
