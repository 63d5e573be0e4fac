"""Prints the microseconds that one draw takes, for a vocabulary of 150k.

    python benchmarks/sampling.py [--vocab 150000] [--json]

The logits look like a model's: most near zero, some tens far above. CPU time, best of several runs.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from pyslm._native import SamplingParams, testing

CASES: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "plain": {},
    "top-k 40": {"top_k": 40},
    "top-p 0.95": {"top_p": 0.95},
    "top-k 40, top-p 0.95": {"top_k": 40, "top_p": 0.95, "temperature": 0.7},
    "top-p 0.95, min-p 0.05": {"top_p": 0.95, "min_p": 0.05},
    "typical 0.9": {"typical_p": 0.9},
    "top-k 40, repetition 1.1": {"top_k": 40, "repetition_penalty": 1.1},
    "top-n-sigma 1": {"top_n_sigma": 1.0},
    "top-p 0.95, xtc": {"top_p": 0.95, "xtc_probability": 0.5},
    "top-k 40, dry": {"top_k": 40, "dry_multiplier": 0.8},
    "allowed tokens": {"allowed_token_ids": list(range(1000))},
}


def model_like_logits(num_vocab: int) -> np.ndarray:
    """float32 [num_vocab]"""
    logits = np.random.default_rng(0).normal(0, 2, num_vocab).astype(np.float32)
    logits[:60] = np.linspace(18, 8, 60)
    return logits


def microseconds_per_draw(logits: np.ndarray, params: SamplingParams) -> float:
    """CPU time of one draw, the best of several runs."""
    num_draws, best = 30, float("inf")
    for _ in range(6):
        start = time.process_time()
        testing.sampler_draws(logits, params, list(range(num_draws)))
        best = min(best, time.process_time() - start)
    return best / num_draws * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab", type=int, default=150_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logits = model_like_logits(options.vocab)
    results = {
        name: microseconds_per_draw(logits, SamplingParams(**fields))
        for name, fields in CASES.items()
    }
    if options.json:
        print(json.dumps(results))
        return
    for name, microseconds in results.items():
        print(f"{name:28} {microseconds:7.0f} us")


if __name__ == "__main__":
    main()
