"""How the agents of an orchestrator are doing."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

__all__ = ["Health", "HealthReport"]

FAILURES_TO_OPEN = 3
PAUSE_SECONDS = 30.0
_SMOOTHING = 0.3  # of the moving average of latencies: the weight of the newest


@dataclasses.dataclass(frozen=True, slots=True)
class HealthReport:
    """Of one agent."""

    is_available: bool
    num_running: int
    num_requests: int
    num_failures: int
    latency_seconds: float
    """Moving average; 0: not known yet."""


class Health:
    """Counts requests, failures and latencies. After some failures in a row the agent is left alone
    for a while; then one request may try. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._num_running = 0
        self._num_requests = 0
        self._num_failures = 0
        self._in_a_row = 0
        self._paused_until = 0.0
        self._latency = 0.0

    def began(self) -> float:
        """A request has begun; gives when."""
        with self._lock:
            self._num_running += 1
            self._num_requests += 1
            if self._in_a_row >= FAILURES_TO_OPEN:  # this is the one that tries
                self._paused_until = self._clock() + PAUSE_SECONDS
        return self._clock()

    def ended(self, began: float, *, ok: bool) -> None:
        """It has ended."""
        now = self._clock()
        with self._lock:
            self._num_running -= 1
            if ok:
                self._in_a_row = 0
                self._paused_until = 0.0
                seconds = now - began
                fresh = self._latency == 0.0
                self._latency += (seconds - self._latency) * (1.0 if fresh else _SMOOTHING)
                return
            self._num_failures += 1
            self._in_a_row += 1
            if self._in_a_row >= FAILURES_TO_OPEN:
                self._paused_until = now + PAUSE_SECONDS

    def left(self) -> None:
        """It was cancelled, which says nothing of the agent."""
        with self._lock:
            self._num_running -= 1

    def report(self) -> HealthReport:
        """As it is now."""
        with self._lock:
            return HealthReport(
                self._clock() >= self._paused_until,
                self._num_running,
                self._num_requests,
                self._num_failures,
                self._latency,
            )
