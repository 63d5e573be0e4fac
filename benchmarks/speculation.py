"""Prints what looking ahead is worth: agent transcripts replayed with speculation and without.

    python benchmarks/speculation.py MODEL.gguf [--draft-model SMALL.gguf] [--rounds 3] [--json]

The model is made to write each turn of a transcript (`forced_tokens`), so that guesses come true as
often as they would for a model that says just that; models with random weights do. Then what it
must not cost: the same with random prompts and outputs, where nothing ever repeats. Both ways take
turns; a ratio is of tokens per second of decoding.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from load.transcripts import make_transcripts

from pyslm import LLM, SamplingParams

Work = list[tuple[list[int], SamplingParams]]


def speed(llm: LLM, work: Work) -> float:
    """Tokens per second of decoding, one request after the other."""
    tokens, seconds = 0, 0.0
    for prompt, params in work:
        result = llm.generate(prompt, params)
        tokens += len(result.token_ids) - 1
        seconds += result.timings.decode_seconds
    return tokens / seconds


def replays(llm: LLM) -> dict[str, Work]:
    """Each transcript's turns."""
    result: dict[str, Work] = {}
    for transcript in make_transcripts():
        turns: Work = []
        for turn in transcript.turns:
            output = llm.tokenize(turn.output, add_special_tokens=False, parse_special=True)
            forced = SamplingParams(
                max_tokens=len(output), forced_tokens=output, temperature=0, ignore_eos=True
            )
            turns.append((llm.tokenize(turn.prompt, parse_special=True), forced))
        result[transcript.name] = turns
    return result


def random_work(llm: LLM, seed: int) -> Work:
    """What no guess helps."""
    rng = np.random.default_rng(seed)
    params = SamplingParams(max_tokens=64, ignore_eos=True, seed=seed)
    return [(rng.integers(0, llm.info.vocab_size, 100).tolist(), params) for _ in range(3)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--draft-model", type=Path)
    parser.add_argument("--max-draft-tokens", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    looking: dict[str, Any] = {
        "max_draft_tokens": options.max_draft_tokens,
        "draft_model": options.draft_model,
    }
    with (
        LLM(options.model, speculation="off", max_sequences=2) as plain,
        LLM(options.model, max_sequences=2, **looking) as ahead,
    ):
        rows: dict[str, float] = {}
        for name, work in replays(plain).items():
            pairs = [(speed(ahead, work), speed(plain, work)) for _ in range(options.rounds)]
            rows[name] = statistics.median(a / b for a, b in pairs)
        pairs = [
            (speed(ahead, work), speed(plain, work))
            for work in (random_work(plain, seed) for seed in range(2 * options.rounds))
        ]
        rows["nothing repeats"] = statistics.median(a / b for a, b in pairs)
        stats = ahead._host.loop.engine.stats()
    accepted = stats.accepted_tokens / max(stats.draft_tokens, 1)
    median = statistics.median(list(rows.values())[:-1])
    if options.json:
        report = {"ratios": rows, "median": median, "accepted": accepted}
        print(json.dumps({"model": options.model.name, **report}))
        return
    print("tokens per second with speculation over without:")
    for name, ratio in rows.items():
        print(f"  {name:16} {ratio:5.2f}")
    print(f"median of the transcripts {median:.2f} (target: at least 1.5); nothing repeats: target")
    print(f"at least 0.97. Of {stats.draft_tokens} guesses checked, {accepted:.0%} came true.")


if __name__ == "__main__":
    main()
