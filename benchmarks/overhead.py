"""What Python and the step loop cost for each token, without a model behind them.

    python benchmarks/overhead.py [MODEL.gguf]

The runner of the engine's tests stands in for the model: its steps compute a few hashes. Compare
with the time of a decode step (`pyslm bench`): 20 tokens/s are 50,000 us per step. With MODEL, also
the time to tokenize.
"""

from __future__ import annotations

import sys
import time

from pyslm import SamplingParams, _native
from pyslm.generation import ChunkStream, Generation
from pyslm.step_loop import StepLoop

NUM_TOKENS = 2000
PARAMS = SamplingParams(max_tokens=NUM_TOKENS, temperature=0)


def make_loop() -> StepLoop:
    runner = _native.testing.TestRunner(
        context_length=NUM_TOKENS + 100, groups=[(0, 16 * (NUM_TOKENS // 16 + 20), 16)]
    )
    return StepLoop(_native.Engine(runner, 16, 64, [b"word "] * 64, []))


def start(loop: StepLoop, index: int) -> Generation:
    return Generation(loop, [1 + index, 2, 3], PARAMS, NUM_TOKENS)


def microseconds_per_step(num_sequences: int) -> float:
    """Of generate: one update per sequence and step, taken one sequence after the other."""
    loop = make_loop()
    running = [start(loop, i) for i in range(num_sequences)]
    began = time.perf_counter()
    for generation in running:
        generation.finish()
    return (time.perf_counter() - began) / NUM_TOKENS * 1e6


def microseconds_per_chunk() -> float:
    """Of stream: a chunk for every token."""
    stream = ChunkStream(start(make_loop(), 0))
    began = time.perf_counter()
    num_chunks = sum(1 for _ in stream)
    return (time.perf_counter() - began) / num_chunks * 1e6


def engine_alone() -> float:
    """The same steps without any Python between them but the call."""
    engine = make_loop().engine
    params = _native.SamplingParams(max_tokens=NUM_TOKENS, temperature=0)
    engine.add([1, 2, 3], params)
    began = time.perf_counter()
    while engine.step():
        pass
    return (time.perf_counter() - began) / NUM_TOKENS * 1e6


def milliseconds_to_tokenize(path: str, num_bytes: int) -> float:
    from pyslm.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(path)
    text = ("The quick brown fox jumps over the lazy dog. " * (num_bytes // 45 + 1))[:num_bytes]
    began = time.perf_counter()
    tokenizer.encode(text)
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    print(f"engine and its test runner alone  {engine_alone():8.1f} us per step")
    print(f"generate, 1 sequence              {microseconds_per_step(1):8.1f} us per step")
    print(f"generate, 16 sequences            {microseconds_per_step(16):8.1f} us per step")
    print(f"stream, 1 sequence                {microseconds_per_chunk():8.1f} us per token")
    if len(sys.argv) > 1:
        milliseconds = milliseconds_to_tokenize(sys.argv[1], 4096)
        print(f"tokenize 4 KB                     {milliseconds:8.2f} ms")
