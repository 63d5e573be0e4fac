"""How much one key, or one address, may ask for."""

from __future__ import annotations

import time
from collections.abc import Sequence

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

from pyslm.errors import InvalidRequestError
from pyslm.serve.caller import Caller
from pyslm.serve.protocol.error import ServeError

__all__ = ["Limits"]

_FAILURES = "20/minute"


class Limits:
    """Requests, tokens and failed keys, counted in memory."""

    def __init__(self, requests: Sequence[str] = (), tokens: Sequence[str] = ()) -> None:
        """Of rates such as "60/minute"; each is counted by itself.

        Raises:
            InvalidRequestError: a rate that is not one.
        """
        self._requests = _parsed("--rate-limit", requests)
        self._tokens = _parsed("--token-limit", tokens)
        self._failures = parse_many(_FAILURES)[0]
        storage = MemoryStorage()
        self._moving = MovingWindowRateLimiter(storage)
        self._fixed = FixedWindowRateLimiter(storage)  # counts what goes beyond it, too

    def admit(self, caller: Caller) -> None:
        """Counts a request; raises "rate_limited" where it is one too many."""
        for rate in self._tokens:
            if not self._fixed.test(rate, "tokens", caller.name):
                reset = self._fixed.get_window_stats(rate, "tokens", caller.name).reset_time
                raise _limited("tokens", rate, reset)
        for rate in self._requests:
            if not self._moving.hit(rate, "requests", caller.name):
                reset = self._moving.get_window_stats(rate, "requests", caller.name).reset_time
                raise _limited("requests", rate, reset)

    def spend(self, caller: Caller, num_tokens: int) -> None:
        """Counts the tokens of a request that is over."""
        for rate in self._tokens:
            if num_tokens > 0:
                self._fixed.hit(rate, "tokens", caller.name, cost=num_tokens)

    def check_failures(self, address: str) -> None:
        """Raises "rate_limited" for an address that has tried too many wrong keys."""
        if not self._moving.test(self._failures, "failures", address):
            reset = self._moving.get_window_stats(self._failures, "failures", address).reset_time
            raise _limited("wrong keys", self._failures, reset)

    def count_failure(self, address: str) -> None:
        """A wrong key came from there."""
        self._moving.hit(self._failures, "failures", address)


def _parsed(option: str, rates: Sequence[str]) -> list[RateLimitItem]:
    try:
        return [item for rate in rates for item in parse_many(rate)]
    except ValueError:
        raise InvalidRequestError(
            f"{option} is {', '.join(rates)!r}; allowed: a rate such as 60/minute or 5/second"
        ) from None


def _limited(what: str, rate: RateLimitItem, reset: float) -> ServeError:
    return ServeError(
        "rate_limited",
        f"more {what} than {rate}; try again later",
        retry_after=max(reset - time.time(), 0.1),
    )
