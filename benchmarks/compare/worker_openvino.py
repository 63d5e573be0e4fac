"""openvino-genai's side of the comparison: its pipeline, timed over the same work as ours."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import openvino_genai


class Peer:
    """One model under its pipeline; prompts of random tokens, greedy decoding."""

    def __init__(self, path: str, threads: int, context: int) -> None:  # noqa: ARG002
        begin = time.perf_counter()
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self.pipeline = openvino_genai.LLMPipeline(path, "CPU", **settings)
        self.load_seconds = time.perf_counter() - begin
        self.num_vocab = len(self.pipeline.get_tokenizer().get_vocab())
        self.rng = np.random.default_rng(0)

    def time_prompt(self, n: int) -> float:
        """Tokens per second of reading a prompt of n, to the first token."""
        return n / self._run(1, n, 1)

    def time_decode(self, batch: int, n: int, depth: int) -> float:
        """Tokens per second of all of `batch` sequences, after their first tokens."""
        return batch * n / (self._run(batch, depth, n + 1) - self._run(batch, depth, 1))

    def _run(self, batch: int, prompt: int, output: int) -> float:
        ids = self.rng.integers(0, self.num_vocab, (batch, prompt), dtype=np.int64)
        inputs = openvino_genai.TokenizedInputs(
            openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids))
        )
        config = openvino_genai.GenerationConfig(
            max_new_tokens=output, ignore_eos=True, do_sample=False
        )
        begin = time.perf_counter()
        self.pipeline.generate(inputs, config)
        return time.perf_counter() - begin


def main() -> None:
    # The library may print on stdout: answers go through a descriptor of our own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    peer = Peer(**json.loads(sys.stdin.readline()))
    print(json.dumps({"load_seconds": peer.load_seconds}), file=answers, flush=True)
    commands: dict[str, Callable[..., Any]] = {
        "prompt": peer.time_prompt,
        "decode": peer.time_decode,
        "rss": lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(commands[name](*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
