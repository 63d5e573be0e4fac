"""Names of programmers, in words."""

from __future__ import annotations

import re

__all__ = ["spoken"]


def spoken(name: str) -> str:
    """The words of an identifier: "maxResults" and "max_results" are both "max results"."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[_.\-]+", " ", text).strip().lower()
