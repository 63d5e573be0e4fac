"""TTFT, TPOT, ITL, E2EL and goodput, as `vllm bench serve` defines them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(slots=True)
class Record:
    """What happened to one request, in seconds after the start."""

    sent: float
    prompt_tokens: int
    events: list[tuple[float, int]] = field(default_factory=list)
    """(when, tokens that came)"""

    @property
    def output_tokens(self) -> int:
        return sum(count for _, count in self.events)

    @property
    def ttft(self) -> float:
        """Time to the first token."""
        return self.events[0][0] - self.sent

    @property
    def e2el(self) -> float:
        """End-to-end latency."""
        return self.events[-1][0] - self.sent

    @property
    def tpot(self) -> float | None:
        """Time per output token after the first; None where there is only one."""
        after_first = self.output_tokens - 1
        return (self.e2el - self.ttft) / after_first if after_first > 0 else None

    @property
    def itl(self) -> list[float]:
        """Gaps between outputs."""
        times = [when for when, _ in self.events]
        return [b - a for a, b in itertools.pairwise(times)]


LIMITED = ("ttft", "tpot", "e2el")


def goodput_limits(texts: Sequence[str]) -> dict[str, float]:
    """Reads limits such as "ttft:500", in milliseconds; a ValueError says what is wrong."""
    limits = {}
    for text in texts:
        name, _, value = text.partition(":")
        try:
            limits[name] = float(value)
        except ValueError:
            limits[name] = -1.0
        if name not in LIMITED or not limits[name] > 0:
            allowed = ", ".join(f"{limited}:MS" for limited in LIMITED)
            raise ValueError(f"a limit is {text!r}; allowed: {allowed}, with MS above 0")
    return limits


def spread(values: Sequence[float]) -> dict[str, float]:
    """Milliseconds: mean, median and the 99th percentile."""
    ms = np.asarray(values) * 1e3
    if ms.size == 0:
        return {"mean": 0.0, "p50": 0.0, "p99": 0.0}
    return {
        "mean": float(ms.mean()),
        "p50": float(np.percentile(ms, 50)),
        "p99": float(np.percentile(ms, 99)),
    }


def summary(records: Sequence[Record], goodput: Mapping[str, float]) -> dict[str, Any]:
    """All figures of one run.

    Args:
        goodput: limits in milliseconds by "ttft", "tpot", "e2el"; requests within all of them
            count.
    """
    end = max(record.events[-1][0] for record in records)
    start = min(record.sent for record in records)
    seconds = end - start
    outputs = sum(record.output_tokens for record in records)
    prompts = sum(record.prompt_tokens for record in records)
    good = sum(
        all(1e3 * (getattr(record, name) or 0.0) <= limit for name, limit in goodput.items())
        for record in records
    )
    return {
        "requests": len(records),
        "seconds": seconds,
        "requests_per_second": len(records) / seconds,
        "output_tokens_per_second": outputs / seconds,
        "total_tokens_per_second": (outputs + prompts) / seconds,
        "goodput_per_second": good / seconds,
        "ttft_ms": spread([record.ttft for record in records]),
        "tpot_ms": spread([record.tpot for record in records if record.tpot is not None]),
        "itl_ms": spread([gap for record in records for gap in record.itl]),
        "e2el_ms": spread([record.e2el for record in records]),
    }
