"""Time to the first token of a long prompt whose beginning is cached, against one that is not.

    python benchmarks/prefix.py MODEL.gguf [--prefix 2000] [--rest 16] [--pairs 5] [--threads N]

Pairs within one run: each takes a fresh random prefix, asks once (cold), and asks again with the
same prefix and another end (warm). Last, the same through a file, as after a restart: what loading
takes, and the first token then. The target is a first token in a twentieth of the time.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from pyslm import LLM, SamplingParams
from pyslm.prefix_cache import load_prefixes

PARAMS = SamplingParams(max_tokens=1, temperature=0, ignore_eos=True)


def first_token_seconds(llm: LLM, prompt: list[int]) -> tuple[float, int]:
    """Wall time, and the prompt tokens found in the cache."""
    began = time.perf_counter()
    result = llm.generate(prompt, PARAMS)
    return time.perf_counter() - began, result.usage.cached_tokens


def random_tokens(rng: random.Random, llm: LLM, count: int) -> list[int]:
    return [rng.randrange(3, llm.info.vocab_size) for _ in range(count)]


def native_info(llm: LLM) -> dict[str, Any]:
    return llm._host.runner.info


def report(name: str, seconds: float, cached: int, against: float | None = None) -> None:
    ratio = f"{against / seconds:8.1f}x" if against else ""
    print(f"{name:24} {seconds * 1e3:10.2f} ms   {cached:6} tokens cached {ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--prefix", type=int, default=2000)
    parser.add_argument("--rest", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    rng = random.Random(0)
    context = options.prefix + options.rest + 1
    settings = {"context_length": context, "max_sequences": 2, "threads": options.threads}
    cold_times, ratios = [], []
    with LLM(options.model, **settings) as llm, tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "cache"
        llm.generate(random_tokens(rng, llm, 64), PARAMS)
        for pair in range(options.pairs):
            llm.trim()
            prefix = random_tokens(rng, llm, options.prefix)
            cold, cached = first_token_seconds(llm, prefix + random_tokens(rng, llm, options.rest))
            report(f"pair {pair + 1}, cold", cold, cached)
            warm, cached = first_token_seconds(llm, prefix + random_tokens(rng, llm, options.rest))
            report(f"pair {pair + 1}, warm", warm, cached, cold)
            cold_times.append(cold)
            ratios.append(cold / warm)
        began = time.perf_counter()
        llm.save_prefix_cache(saved)
        saving = (time.perf_counter() - began) * 1e3
        print(f"{'save':24} {saving:10.2f} ms   {saved.stat().st_size / 2**20:6.1f} MiB")
        llm.close()
        with LLM(options.model, **settings) as again:
            began = time.perf_counter()
            # What LLM(prefix_cache=saved) does once the model is there.
            load_prefixes(saved, again._need_loop().engine, again.info.path, native_info(again))
            print(f"{'load':24} {(time.perf_counter() - began) * 1e3:10.2f} ms")
            rest = random_tokens(rng, again, options.rest)
            seconds, cached = first_token_seconds(again, prefix + rest)
            report("after a restart", seconds, cached, statistics.median(cold_times))
    print(f"median: {statistics.median(ratios):.1f}x, target 20x")


if __name__ == "__main__":
    main()
