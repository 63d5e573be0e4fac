"""`pyslm bench`: how fast a model runs here."""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import psutil
import typer
from rich.table import Table

from pyslm.cli.console import (
    JsonOption,
    KvTypeOption,
    ModelArgument,
    ThreadsOption,
    load_model,
    output_console,
    progress_bar,
)
from pyslm.errors import InvalidRequestError
from pyslm.request import GenerationResult, SamplingParams

if TYPE_CHECKING:
    from pyslm.llm import LLM

__all__ = ["BenchReport", "DecodeSpeed", "bench", "measure"]

_DECODE_PROMPT_TOKENS = 4


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


def bench(
    model: ModelArgument,
    prompt: Annotated[int, typer.Option("--prompt", "-p", min=1, help="Prompt tokens.")] = 512,
    output: Annotated[int, typer.Option("--output", "-n", min=2, help="Output tokens.")] = 64,
    batch: Annotated[
        str, typer.Option("--batch", "-b", help="Sequences decoded together, as a list.")
    ] = "1,16",
    repeat: Annotated[int, typer.Option("--repeat", "-r", min=1, help="Takes medians.")] = 3,
    threads: ThreadsOption = None,
    kv_type: KvTypeOption = "f16",
    as_json: JsonOption = False,
) -> None:
    """Measure prompt and decoding speed, bandwidth, memory and load time.

    [dim]Example:[/dim]

      pyslm bench model.gguf -p 512 -n 64 -b 1,16 --json
    """
    batches = _batches(batch)
    started = time.perf_counter()
    with load_model(
        model,
        context_length=max(prompt, _DECODE_PROMPT_TOKENS) + output,
        threads=threads,
        kv_type=kv_type,
        max_sequences=max(batches),
    ) as llm:
        load_seconds = time.perf_counter() - started
        with progress_bar("Measuring") as progress:
            report = measure(llm, load_seconds, prompt, output, batches, repeat, progress)
    if as_json:
        json.dump(dataclasses.asdict(report), sys.stdout, indent=2)
        print()
    else:
        output_console().print(_table(report))


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
    bandwidth = _read_bandwidth(llm.info.threads)
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
    results = _generate(llm, batch, _DECODE_PROMPT_TOKENS, num_tokens)
    return batch * (num_tokens - 1) / max(r.timings.decode_seconds for r in results)


def _generate(llm: LLM, batch: int, prompt: int, output: int) -> list[GenerationResult]:
    """Greedy, past end tokens, from random prompts that differ (fresh ones in each call)."""
    rng = np.random.default_rng()
    prompts: list[list[int]] = rng.integers(0, llm.info.vocab_size, (batch, prompt)).tolist()
    params = SamplingParams(max_tokens=output, temperature=0, ignore_eos=True)
    return llm.generate(prompts, params)


def _read_bandwidth(threads: int) -> float:
    """Bytes per second that all threads together read from memory."""
    from pyslm import _native

    probe = getattr(_native, "read_bandwidth", None)
    if probe is not None:
        return float(probe())
    parts = np.ones((threads, (256 << 20) // (4 * threads)), np.float32)
    with ThreadPoolExecutor(threads) as pool:
        best = max(_timed(lambda: list(pool.map(np.sum, parts))) for _ in range(5))
    return best * parts.nbytes


def _timed(run: Callable[[], object]) -> float:
    """Runs per second."""
    started = time.perf_counter()
    run()
    return 1 / (time.perf_counter() - started)


def _peak_rss_bytes() -> int:
    """The most memory that this process has held."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _batches(text: str) -> tuple[int, ...]:
    try:
        batches = tuple(int(part) for part in text.split(","))
    except ValueError:
        batches = ()
    if not batches or not all(1 <= batch <= 1024 for batch in batches):
        raise InvalidRequestError(f"--batch is {text!r}; allowed: numbers from 1 to 1024, as 1,16")
    return batches


def _table(report: BenchReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right")
    table.add_column(style="dim")
    rows: list[tuple[str, str, Any]] = [
        (
            f"prompt of {report.prompt_tokens}",
            f"{report.prompt_tokens_per_second:,.1f} tokens/s",
            "",
        )
    ]
    rows += [
        (
            f"decode, batch of {speed.batch}",
            f"{speed.tokens_per_second:,.1f} tokens/s",
            f"{speed.bandwidth_share:.0%} of the read bandwidth",
        )
        for speed in report.decode
    ]
    rows += [
        ("load", f"{report.load_seconds:.2f} s", f"{report.file_bytes / 2**20:,.0f} MiB file"),
        ("peak memory", f"{report.peak_rss_bytes / 2**20:,.0f} MiB", ""),
        ("read bandwidth", f"{report.read_bytes_per_second / 1e9:,.1f} GB/s", "measured"),
        ("kernels", report.isa, f"{report.threads} threads, {report.kv_type} cache"),
    ]
    for row in rows:
        table.add_row(*row)
    return table
