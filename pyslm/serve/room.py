"""Makes room for a model: how many may be loaded, and how much memory they may take together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from pyslm.serve.protocol.error import ServeError
from pyslm.serve.slot import Slot

__all__ = ["Room"]

WAIT_SECONDS = 60.0
"""How long a model waits for others to become idle."""
_LOOK_SECONDS = 0.1


class Room:
    """The budget of a registry."""

    def __init__(
        self,
        slots: Collection[Slot],
        max_models: int,
        budget_bytes: int,
        unload: Callable[[Slot], Awaitable[None]],
    ) -> None:
        self._slots = slots
        self._max_models = max_models
        self._budget_bytes = budget_bytes
        self._unload = unload
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def reserve(self, slot: Slot) -> AsyncIterator[None]:
        """Unloads the longest idle models until `slot` fits, and holds its place while it loads.

        Raises:
            ServeError: it never fits, or nothing became idle in time.
        """
        needed = slot.memory_bytes()
        if needed > self._budget_bytes:
            raise ServeError(
                "out_of_memory",
                f"{slot.card.id} takes about {needed >> 20} MiB and this server may use "
                f"{self._budget_bytes >> 20} MiB; raise --memory-budget, or choose a smaller one",
            )
        async with self._lock:
            await self._make_room(slot, needed)
            yield

    async def _make_room(self, slot: Slot, needed: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_SECONDS
        while not self._fits(slot, needed):
            idle = [other for other in self._slots if other is not slot and other.may_be_evicted]
            if idle:
                await self._unload(max(idle, key=lambda other: other.idle_seconds))
                continue
            others = [other for other in self._slots if other is not slot and other.is_loaded]
            if all(other.pinned for other in others) or loop.time() > deadline:
                names = ", ".join(other.card.id for other in others)
                raise ServeError(
                    "out_of_memory",
                    f"no room for {slot.card.id}: {names} are loaded and in use or pinned; at most "
                    f"{self._max_models} models and {self._budget_bytes >> 20} MiB are allowed",
                    retry_after=10,
                )
            await asyncio.sleep(_LOOK_SECONDS)

    def _fits(self, slot: Slot, needed: int) -> bool:
        others = [other for other in self._slots if other is not slot and other.is_loaded]
        taken = sum(other.memory_bytes() for other in others)
        return len(others) < self._max_models and taken + needed <= self._budget_bytes
