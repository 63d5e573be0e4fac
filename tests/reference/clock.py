"""Times that the model in the package does not copy yet."""

from __future__ import annotations

import re

__all__ = ["repeats_itself"]


def repeats_itself(time: str) -> bool:
    """At 07:07, at 14:44, on 12-12: what it copies by two tokens stands there twice."""
    return re.search(r"(\d\d)[-:]\1|(\d):\2\2", time) is not None
