"""pyslm's side of the comparison: the native engine, timed over the same work as the peer's."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # -P left the benchmarks out
from load.drive import drive
from load.trace import Request

from pyslm import _native


class Ours:
    """One model under the engine; prompts of random tokens, greedy decoding."""

    def __init__(self, path: str, threads: int, context: int, kv_type: str) -> None:
        begin = time.perf_counter()
        self.model = _native.Model(
            path, threads=threads, kv_type=kv_type, context_length=context, max_sequences=16
        )
        self.load_seconds = time.perf_counter() - begin
        self.num_vocab = int(self.model.info["vocab_size"])
        self.rng = np.random.default_rng(0)

    def time_prompt(self, n: int) -> float:
        """Tokens per second of reading a prompt of n, to the first token."""
        return n / self._run(1, n, 1)[0]

    def time_decode(self, batch: int, n: int, depth: int) -> float:
        """Tokens per second of all of `batch` sequences, after their first tokens."""
        return batch * n / self._run(batch, depth, n + 1)[1]

    def serve(self, trace: list[list[Any]], concurrency: int) -> list[list[Any]]:
        """Runs [arrival, prompt, output tokens] each, at most `concurrency` at a time; gives
        [sent, prompt tokens, [[when, tokens], ...]] each."""
        tokens = [b""] * self.num_vocab
        engine = _native.Engine(
            self.model, max_sequences=16, prefill_chunk=512, token_bytes=tokens, stop_tokens=[]
        )
        requests = [Request(*entry) for entry in trace]
        records = drive(engine, requests, concurrency=concurrency or None)
        return [[r.sent, r.prompt_tokens, r.events] for r in records]

    def _run(self, batch: int, prompt: int, output: int) -> tuple[float, float]:
        """Seconds until every sequence has its first token, and from there to the end."""
        tokens = [b""] * self.num_vocab
        engine = _native.Engine(
            self.model, max_sequences=16, prefill_chunk=512, token_bytes=tokens, stop_tokens=[]
        )
        params = _native.SamplingParams(max_tokens=output, temperature=0.0)
        prompts = self.rng.integers(0, self.num_vocab, (batch, prompt)).astype(np.int32)
        begin = time.perf_counter()
        ids = [engine.add(row, params) for row in prompts]
        waiting, first = set(ids), 0.0
        while engine.step():
            if not waiting:
                continue
            waiting = {i for i in waiting if not ((u := engine.poll(i)) and u.tokens)}
            if not waiting:
                first = time.perf_counter()
        end = time.perf_counter()
        first = first or end
        return first - begin, end - first


def main() -> None:
    ours = Ours(**json.loads(sys.stdin.readline()))
    print(json.dumps({"load_seconds": ours.load_seconds}), flush=True)
    commands: dict[str, Callable[..., Any]] = {
        "prompt": ours.time_prompt,
        "decode": ours.time_decode,
        "serve": ours.serve,
        "rss": lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(commands[name](*arguments)), flush=True)


if __name__ == "__main__":
    main()
