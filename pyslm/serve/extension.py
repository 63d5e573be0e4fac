"""What another part of pyslm adds to a server."""

from __future__ import annotations

from typing import Protocol

from pyslm.serve.protocol.dialect import Dialect, Services

__all__ = ["ServerExtension"]


class ServerExtension(Protocol):
    """Routes, and work that asks the server's models and so must end before it does."""

    def dialect(self, services: Services) -> Dialect:
        """Its routes."""
        ...

    async def drain(self) -> None:
        """Takes no more work; returns when what there is has ended. Cancelled after the server's
        `drain_seconds`."""
        ...
