"""How speed grows with threads: the pool's own cost, prompts and decoding, measured and predicted.

    python benchmarks/scaling.py MODEL.gguf [--threads 1 2 4] [--rounds 5]

The prediction is that of README.md of this folder: what one thread does in the time measured,
divided among all, but no faster than the weights can be read; and parallel regions, each at its
measured cost. Rounds take turns between the numbers of threads.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

import numpy as np

from pyslm import _native

PROMPT, OUTPUT = 512, 24
_REGIONS, _BUSY_MICROSECONDS = 20_000, 20.0


class Model:
    """A model on so many threads."""

    def __init__(self, path: str, threads: int) -> None:
        self.model = _native.Model(path, threads=threads, context_length=1024, max_sequences=1)
        self.threads = threads
        self.num_vocab = int(self.model.info["vocab_size"])

    def run(self, prompt: int, output: int) -> tuple[float, float]:
        """Seconds of the prompt's step, and of each later one."""
        engine = _native.Engine(self.model, max_sequences=1, prefill_chunk=PROMPT)
        params = _native.SamplingParams(max_tokens=output, temperature=0.0, ignore_eos=True)
        ids = np.random.default_rng(0).integers(0, self.num_vocab, prompt).astype(np.int32)
        engine.add(ids, params)
        begin = time.perf_counter()
        engine.step()
        first = time.perf_counter()
        while engine.step():
            pass
        return first - begin, (time.perf_counter() - first) / max(1, output - 1)


def _region_seconds(threads: int) -> float:
    return min(_native.time_region(threads, _REGIONS, _BUSY_MICROSECONDS) for _ in range(5))


def report(name: str, seconds: dict[int, float], predicted: dict[int, float]) -> None:
    """One line for each number of threads."""
    one = seconds[min(seconds)]
    for threads, measured in seconds.items():
        print(
            f"{name:8} {threads:3} threads {measured * 1e3:9.2f} ms   speedup {one / measured:5.2f}"
            f"   predicted {one / predicted[threads]:5.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    cores = _native.default_num_threads()
    parser.add_argument("--threads", type=int, nargs="+", default=list(range(1, cores + 1)))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    region = {n: _region_seconds(n) for n in args.threads}
    reads = {n: _native.read_bandwidth(n) for n in args.threads}
    for n in args.threads:
        print(f"pool     {n:3} threads {region[n] * 1e6:9.2f} us   reads {reads[n] / 1e9:.1f} GB/s")
    models = [Model(args.model, n) for n in args.threads]
    times: dict[str, dict[int, list[float]]] = {"prompt": {}, "decode": {}}
    for turn in range(args.rounds + 1):
        for model in models:
            prompt, _ = model.run(PROMPT, 1)
            _, decode = model.run(16, OUTPUT)
            if turn:  # the first warms
                times["prompt"].setdefault(model.threads, []).append(prompt)
                times["decode"].setdefault(model.threads, []).append(decode)
    info: dict[str, Any] = dict(models[0].model.info)
    size = os.path.getsize(args.model)
    regions = 12 * int(info["num_layers"]) + 5  # of a llama: csrc/model/block.cpp
    for name, found in times.items():
        seconds = {n: statistics.median(values) for n, values in found.items()}
        least = min(seconds)
        predicted = {
            n: max(seconds[least] * least / n, size / reads[n]) + regions * region[n]
            for n in seconds
        }
        report(name, seconds, predicted)


if __name__ == "__main__":
    main()
