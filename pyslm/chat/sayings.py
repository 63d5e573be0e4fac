"""What a model always says in the same words, as its chat template declares."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Sayings", "sayings_of"]

_DECLARED = re.compile(
    r"""\{%-?\s*set\s+(?P<name>refusal|question)\s*=\s*(['"])(?P<text>.+?)\2\s*-?%\}"""
)


class Sayings(NamedTuple):
    """None: it does not say so, or in any words."""

    refusal: str | None = None
    """That no tool fits."""
    question: str | None = None
    """Which argument is missing; its name stands for `{}`."""


def sayings_of(template: str) -> Sayings:
    """Those that a template sets as `refusal` and `question`."""
    found = {match["name"]: match["text"] for match in _DECLARED.finditer(template)}
    if "{}" not in found.get("question", "{}"):
        del found["question"]
    return Sayings(**found)
