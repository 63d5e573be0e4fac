"""Whether a model goes round in circles."""

from __future__ import annotations

import collections
import json
from collections.abc import Sequence

from pyslm.agents.toolbox import ToolResult

__all__ = ["Repeats"]


class Repeats:
    """Sees whether a model goes round in circles: the same calls, with the same results."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: collections.Counter[str] = collections.Counter()
        self.is_loop = False

    def see(self, results: Sequence[ToolResult]) -> None:
        """The results of one turn."""
        turn = sorted((each.call.name, each.call.arguments, each.content) for each in results)
        key = json.dumps(turn)
        self._seen[key] += 1
        self.is_loop = self._seen[key] >= self._limit
