"""One model of the registry: its worker, if it has one, and who uses it."""

from __future__ import annotations

import asyncio
import time

from pyslm.serve.protocol.model import LoadedModel, ModelCard
from pyslm.serve.supervisor import Supervisor

__all__ = ["Slot"]

_PACKED_OVER_FILE = 1.1
_BESIDES_BYTES = 96 << 20  # Python, tokenizer, the first keys and values


class Slot:
    """What the registry knows of one model."""

    def __init__(self, card: ModelCard, keep_alive: float, *, pinned: bool) -> None:
        self.card = card
        self.keep_alive = keep_alive
        self.pinned = pinned
        self.supervisor: Supervisor | None = None
        self.lock = asyncio.Lock()
        """Held while it is loaded or unloaded."""
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._num_requests = 0
        self._last_used = time.monotonic()
        self.mean_seconds = 1.0
        """Of a request, lately."""

    @property
    def num_requests(self) -> int:
        """Accepted and not over; each choice counts."""
        return self._num_requests

    @property
    def is_loaded(self) -> bool:
        """Whether there is a worker, or one being started."""
        return self.supervisor is not None

    def enter(self, num_choices: int = 1) -> None:
        """A request begins."""
        self._num_requests += num_choices
        self.idle.clear()

    def leave(self, num_choices: int = 1) -> None:
        """A request is over."""
        self._num_requests -= num_choices
        self._last_used = time.monotonic()
        if self._num_requests == 0:
            self.idle.set()

    @property
    def idle_seconds(self) -> float:
        """How long nobody has used it."""
        return 0.0 if self._num_requests else time.monotonic() - self._last_used

    @property
    def is_expired(self) -> bool:
        """Whether it has been idle for longer than it is kept."""
        if not self.is_loaded or self._num_requests or self.pinned or self.keep_alive < 0:
            return False
        return self.idle_seconds >= self.keep_alive

    @property
    def may_be_evicted(self) -> bool:
        """Whether another model may take its place."""
        free = self.is_loaded and not self.pinned and not self._num_requests
        return free and not self.lock.locked()

    def memory_bytes(self) -> int:
        """What its worker takes; before there is one, what it will take, roughly."""
        process = self.supervisor.process if self.supervisor is not None else None
        resident = process.memory_bytes() if process is not None else 0
        if resident and self.supervisor is not None and self.supervisor.state == "ready":
            return resident
        return int(self.card.size_bytes * _PACKED_OVER_FILE) + _BESIDES_BYTES

    def describe(self) -> LoadedModel | None:
        """For people; None where it is not loaded."""
        supervisor = self.supervisor
        if supervisor is None:
            return None
        process = supervisor.process
        info = process.info if process is not None else {}
        stays = self.keep_alive < 0 or self.pinned
        left = self.keep_alive - self.idle_seconds
        return LoadedModel(
            card=self.card,
            state="draining" if self.draining else supervisor.state,
            context_length=info.get("context_length", 0),
            memory_bytes=self.memory_bytes(),
            load_seconds=process.load_seconds if process is not None else 0.0,
            num_running=self._num_requests,
            pinned=self.pinned,
            idle_seconds=self.idle_seconds,
            expires_at=None if stays else time.time() + max(left, 0.0),
            pid=process.pid if process is not None else 0,
            info=info,
        )
