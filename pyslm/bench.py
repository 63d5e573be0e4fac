"""How fast a model runs on this machine."""

from __future__ import annotations

import dataclasses
import statistics
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import psutil

from pyslm import _native
from pyslm.request import GenerationResult, SamplingParams

if TYPE_CHECKING:
    from pyslm.llm import LLM

__all__ = ["DECODE_PROMPT_TOKENS", "BenchReport", "DecodeSpeed", "measure"]

DECODE_PROMPT_TOKENS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class DecodeSpeed:
    """Decoding with so many sequences at a time."""

    batch: int
    tokens_per_second: float
    """Of all sequences together."""
    bandwidth_share: float
    """Bytes of weights read per second (one pass over the file for each step), over the memory's
    measured read bandwidth."""


@dataclasses.dataclass(frozen=True, slots=True)
class BenchReport:
    """Speeds are medians over the repetitions."""

    model: str
    file_bytes: int
    isa: str
    threads: int
    kv_type: str
    load_seconds: float
    prompt_tokens: int
    prompt_tokens_per_second: float
    output_tokens: int
    decode: tuple[DecodeSpeed, ...]
    read_bytes_per_second: float
    peak_rss_bytes: int
    repeat: int


def measure(
    llm: LLM,
    load_seconds: float,
    prompt: int,
    output: int,
    batches: tuple[int, ...],
    repeat: int,
    progress: Callable[[float], None] = lambda fraction: None,
) -> BenchReport:
    """All measurements, one after the other."""
    num_parts = 1 + len(batches)
    _decode(llm, 1, 2)  # touches every weight once
    prompt_speed = statistics.median(_prefill(llm, prompt) for _ in range(repeat))
    progress(1 / num_parts)
    speeds: list[float] = []
    for batch in batches:
        speeds.append(statistics.median(_decode(llm, batch, output) for _ in range(repeat)))
        progress((1 + len(speeds)) / num_parts)
    peak_rss_bytes = _peak_rss_bytes()  # before the probe of the memory takes some itself
    bandwidth = _native.read_bandwidth(llm.info.threads)
    steps = zip(batches, speeds, strict=True)
    return BenchReport(
        model=str(llm.info.path),
        file_bytes=llm.info.file_bytes,
        isa=llm.info.isa,
        threads=llm.info.threads,
        kv_type=llm.info.kv_type,
        load_seconds=load_seconds,
        prompt_tokens=prompt,
        prompt_tokens_per_second=prompt_speed,
        output_tokens=output,
        decode=tuple(
            DecodeSpeed(batch, speed, speed / batch * llm.info.file_bytes / bandwidth)
            for batch, speed in steps
        ),
        read_bytes_per_second=bandwidth,
        peak_rss_bytes=peak_rss_bytes,
        repeat=repeat,
    )


def _prefill(llm: LLM, num_tokens: int) -> float:
    """Prompt tokens per second."""
    [result] = _generate(llm, 1, num_tokens, 1)
    return num_tokens / result.timings.prompt_seconds


def _decode(llm: LLM, batch: int, num_tokens: int) -> float:
    """Output tokens per second of all sequences together, after the first of each."""
    results = _generate(llm, batch, DECODE_PROMPT_TOKENS, num_tokens)
    return batch * (num_tokens - 1) / max(r.timings.decode_seconds for r in results)


def _generate(llm: LLM, batch: int, prompt: int, output: int) -> list[GenerationResult]:
    """Greedy, past end tokens, from random prompts that differ (fresh ones in each call)."""
    rng = np.random.default_rng()
    prompts: list[list[int]] = rng.integers(0, llm.info.vocab_size, (batch, prompt)).tolist()
    params = SamplingParams(max_tokens=output, temperature=0, ignore_eos=True)
    return llm.generate(prompts, params)


def _peak_rss_bytes() -> int:
    """The most memory that this process has held."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
