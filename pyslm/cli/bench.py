"""`pyslm bench`: how fast a model runs here."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    warn,
)
from pyslm.errors import InvalidRequestError
from pyslm.model_info import check_model_path

if TYPE_CHECKING:
    from pyslm.bench import BenchReport

__all__ = ["bench"]


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
    from pyslm.bench import measure

    batches = _batches(batch)
    context, prompt, output = _fitted(model, prompt, output)
    started = time.perf_counter()
    with load_model(
        model,
        context_length=context,
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


def _fitted(model: Path, prompt: int, output: int) -> tuple[int, int, int]:
    """The context to load with; prompt and output, shortened where the model's own is smaller."""
    from pyslm import _native
    from pyslm.bench import DECODE_PROMPT_TOKENS

    trained = int(_native.read_spec(str(check_model_path(model)))["trained_context_length"])
    context = min(trained, max(prompt + 1, DECODE_PROMPT_TOKENS + output))
    fitted = min(prompt, context - 1), min(output, context - DECODE_PROMPT_TOKENS)
    if fitted != (prompt, output):
        warn(
            f"the model's context of {trained} tokens has room for a prompt of {fitted[0]} and "
            f"an output of {fitted[1]}"
        )
    return context, *fitted


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
    rows: list[tuple[str, str, str]] = [
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
