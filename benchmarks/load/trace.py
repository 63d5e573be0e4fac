"""Requests with their arrival times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# name -> (prompt tokens, output tokens); the mixes of vLLM's blog (ShareGPT's mean of 202 and 179,
# prefill-heavy 462 and 16) and CPU suite, scaled to what a laptop does in a minute.
MIXES = {
    "chat": (200, 48),
    "summarize": (462, 16),
    "write": (64, 128),
    "code": (300, 96),
    "agent": (1024, 32),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a trace."""

    arrival: float
    """Seconds after the start; with a closed loop requests start when there is room instead."""
    prompt: list[int]
    output_tokens: int


def make_trace(
    mix: str, count: int, *, rate: float | None, vocab: int, seed: int, spread: float = 0.25
) -> list[Request]:
    """Random tokens, so that no two requests share a prefix.

    Args:
        rate: requests per second on average; the gaps are exponential (Poisson arrivals). None:
            all at once.
        spread: lengths vary evenly by this share of the mix's.
    """
    rng = np.random.default_rng(seed)
    prompt, output = MIXES[mix]

    def length(mean: int) -> int:
        return max(1, int(rng.integers(int(mean * (1 - spread)), int(mean * (1 + spread)) + 1)))

    gaps = np.zeros(count) if rate is None else rng.exponential(1 / rate, count)
    return [
        Request(float(at), rng.integers(0, vocab, length(prompt)).tolist(), length(output))
        for at in np.cumsum(gaps)
    ]
