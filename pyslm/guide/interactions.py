"""Interactions with agents, for monitoring: how long and how well, not what was said."""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["APOLOGY", "InteractionLog"]

_log = logging.getLogger(__name__)

APOLOGY = "I'm experiencing technical difficulties. Please try again."
_KEPT = 1000


class InteractionLog:
    """The latest interactions, oldest first; each is written to the log as well."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._entries: collections.deque[dict[str, Any]] = collections.deque(maxlen=kept)

    def add(
        self, request: str, response: str, status: str, processing_time: float, agent_type: str
    ) -> dict[str, Any]:
        """Gives what is kept of it: {timestamp, agent_type, request_length, response_length,
        status, processing_time}."""
        entry = {
            "timestamp": time.time(),
            "agent_type": agent_type,
            "request_length": len(request),
            "response_length": len(response),
            "status": status,
            "processing_time": processing_time,
        }
        self._entries.append(entry)
        _log.info("agent %s: %s in %.2f s", agent_type, status, processing_time)
        return entry

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
