"""Prints how fast decoding under a JSON schema is against free decoding, in pairs.

    python benchmarks/guided.py model.gguf [--batches 1 16] [--tokens 48] [--rounds 5] [--json]

Each round runs both, in turns first and second; the ratio is the median of the rounds'. The first
round is not counted: it prepares the vocabulary and compiles the schema.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import pyslm
from pyslm import LLM, SamplingParams

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "email": {"type": "string", "pattern": "^[a-z]{3,12}@[a-z]{3,12}\\.com$"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}, "maxItems": 4},
        "kind": {"enum": ["customer", "supplier", "partner"]},
    },
    "required": ["name", "age", "email", "tags", "kind"],
    "additionalProperties": False,
}
SCHEMA = {"type": "array", "items": PERSON, "minItems": 1000}  # longer than any run
PROMPT = "The customers, as JSON:"


def seconds(llm: LLM, batch: int, params: SamplingParams) -> float:
    """Wall time of a batch, all of the same number of tokens."""
    start = time.perf_counter()
    results = llm.generate([PROMPT] * batch, [params.replace(seed=i) for i in range(batch)])
    elapsed = time.perf_counter() - start
    short = [r for r in results if len(r.token_ids) != params.max_tokens]
    if short:
        raise SystemExit(f"{len(short)} outputs ended early: {short[0].finish_reason}")
    return elapsed


def compare(llm: LLM, batch: int, free: SamplingParams, rounds: int) -> dict[str, float]:
    """Tokens per second of both, and the ratio."""
    guided = free.replace(json_schema=SCHEMA)
    times: list[tuple[float, float]] = []
    for i in range(rounds + 1):
        if i % 2:
            pair = (seconds(llm, batch, free), seconds(llm, batch, guided))
        else:
            pair = (seconds(llm, batch, guided), seconds(llm, batch, free))[::-1]
        times.append(pair)
    counted = times[1:]
    tokens = batch * free.max_tokens
    return {
        "batch": batch,
        "free_tokens_per_second": tokens / statistics.median(a for a, _ in counted),
        "guided_tokens_per_second": tokens / statistics.median(b for _, b in counted),
        "ratio": statistics.median(a / b for a, b in counted),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    free = SamplingParams(
        max_tokens=options.tokens, temperature=options.temperature, ignore_eos=True
    )
    with pyslm.LLM(options.model, threads=options.threads, max_sequences=16) as llm:
        vocab = llm.info.vocab_size
        rows = [compare(llm, batch, free, options.rounds) for batch in options.batches]
    if options.json:
        print(json.dumps({"vocab_size": vocab, "rows": rows}))
        return
    print(f"vocabulary of {vocab}")
    for row in rows:
        print(
            f"batch {row['batch']:3}: free {row['free_tokens_per_second']:7.1f} tokens/s, "
            f"guided {row['guided_tokens_per_second']:7.1f} tokens/s, ratio {row['ratio']:.3f}"
        )


if __name__ == "__main__":
    main()
