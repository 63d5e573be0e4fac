"""How much was done on this machine, and what it would have cost elsewhere."""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Mapping

from pyslm.request import Usage

__all__ = ["CLOUD_PRICES", "Ledger", "Price", "Savings"]


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """Of a cloud model, in dollars for a million tokens."""

    prompt: float = 2.50
    completion: float = 10.00

    def of(self, usage: Usage) -> float:
        """Dollars."""
        return (usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion) / 1e6


CLOUD_PRICES: Mapping[str, Price] = {
    "gpt-4o": Price(2.50, 10.00),
    "gpt-4o-mini": Price(0.15, 0.60),
    "claude-sonnet-4": Price(3.00, 15.00),
    "claude-3.5-haiku": Price(0.80, 4.00),
    "gemini-2.5-flash": Price(0.30, 2.50),
}
"""List prices of 2025, to compare with. They change: `pyslm agent eval --prices` takes others."""


@dataclasses.dataclass(frozen=True, slots=True)
class Savings:
    """Since the start."""

    num_requests: int
    num_local: int
    """Answered without anything leaving the machine."""
    num_escalated: int
    """Handed on to a larger model, here or elsewhere."""
    num_failovers: int
    """Handed on because an agent failed."""
    by_agent: Mapping[str, int]
    cost: float
    """Dollars, estimated from the tokens of what left the machine."""
    saved: float
    """Dollars, that the tokens of the rest would have cost."""

    @property
    def share_local(self) -> float:
        """0 to 1; 0 where there was no request."""
        return self.num_local / self.num_requests if self.num_requests else 0.0


class Ledger:
    """Thread-safe."""

    def __init__(self, price: Price | None = None) -> None:
        self._price = price or Price()
        self._lock = threading.Lock()
        self._counts: collections.Counter[str] = collections.Counter()
        self._by_agent: collections.Counter[str] = collections.Counter()
        self._cost = 0.0
        self._saved = 0.0

    def used(self, usage: Usage, *, local: bool) -> None:
        """Tokens that a model took, for a final answer or not."""
        dollars = self._price.of(usage)
        with self._lock:
            if local:
                self._saved += dollars
            else:
                self._cost += dollars

    def answered(self, agent: str, *, local: bool) -> None:
        """A request is done."""
        with self._lock:
            self._by_agent[agent] += 1
            self._counts["requests"] += 1
            self._counts["local"] += local

    def escalated(self) -> None:
        """A request goes on to a larger model."""
        with self._lock:
            self._counts["escalated"] += 1

    def failed_over(self) -> None:
        """A request goes on to another agent."""
        with self._lock:
            self._counts["failovers"] += 1

    def savings(self) -> Savings:
        """Up to now."""
        with self._lock:
            counts = self._counts
            return Savings(
                counts["requests"],
                counts["local"],
                counts["escalated"],
                counts["failovers"],
                dict(self._by_agent),
                self._cost,
                self._saved,
            )
