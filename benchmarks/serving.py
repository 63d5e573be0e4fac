"""Load on the serving engine, and the figures that it is held to.

    python benchmarks/serving.py load MODEL.gguf [--mix chat] [--concurrency 8 | --rate 2]
    python benchmarks/serving.py targets MODEL.gguf [--only streams --only mixed ...] [--json]

`load` prints what `vllm bench serve` prints: time to first token (TTFT), time per output token
(TPOT), gaps between outputs (ITL), end-to-end latency (E2EL), throughput and goodput. `targets`
measures, in pairs within this run:

    streams   16 streams over 1: tokens per second                          at least 3
    mixed     TTFT of a 64-token prompt that comes in the middle of a step
              while a 4k prompt is read, in steps                           below 2
    prefix    TTFT of a 2k-token prompt over that of the same one cached    at least 20
    greedy    share of a step of 64 requests outside the model              below 2 %
    top-p     the same with top-p 0.95                                      below 5 %
    guided-1  decoding under a JSON schema over decoding freely             at least 0.95
    guided-16 the same with 16 streams                                      at least 0.95

None of it speculates. `streams`, `mixed` and `prefix` are meant for a model of 1 B, `greedy` and
`top-p` for one of 0.5 B, `guided` for a vocabulary of 150 k.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from guided import compare
from load.drive import drive
from load.metrics import goodput_limits, summary
from load.trace import MIXES, Request, make_trace
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pyslm import LLM, SamplingParams, _native
from pyslm.errors import PyslmError

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__.splitlines()[0])
ModelArgument = Annotated[Path, typer.Argument(help="A GGUF file.", exists=True)]
ThreadsOption = Annotated[int | None, typer.Option(help="Default: physical cores.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@contextmanager
def refusals() -> Iterator[None]:
    """What the engine refuses is told without a traceback."""
    try:
        yield
    except PyslmError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None


class Bench:
    """A model, and engines over it that share nothing."""

    def __init__(self, model: Path, threads: int | None) -> None:
        trained = int(_native.read_spec(str(model))["trained_context_length"])
        self.llm = LLM(
            model,
            threads=threads,
            context_length=min(trained, 8192),
            max_sequences=64,
            prefix_caching=False,  # other engines write over the blocks of the LLM's own
            speculation="off",
        )
        self.vocab = self.llm.info.vocab_size
        self.rng = np.random.default_rng(1)

    def engine(self, **options: Any) -> _native.Engine:
        return _native.Engine(self.llm._host.runner, max_sequences=64, **options)

    def tokens(self, count: int) -> list[int]:
        ids: list[int] = self.rng.integers(0, self.vocab, count).tolist()
        return ids

    def first_token_seconds(self, engine: _native.Engine, prompt: list[int]) -> float:
        (record,) = drive(engine, [Request(0.0, prompt, 1)])
        return record.ttft

    def decode_speed(self, streams: int) -> float:
        """Tokens per second of all streams together, after their first tokens."""
        engine = self.engine(prefix_caching=False)
        records = drive(
            engine, [Request(0.0, self.tokens(16), 33) for _ in range(streams)], concurrency=streams
        )
        begin = max(record.events[0][0] for record in records)
        end = max(record.events[-1][0] for record in records)
        return streams * 32 / (end - begin)

    def share_outside_model(self, **sampling: Any) -> float:
        """Of the time of steps of 64 requests that decode."""
        engine = self.engine(prefix_caching=False)
        for seed in range(64):
            params = _native.SamplingParams(max_tokens=24, ignore_eos=True, seed=seed, **sampling)
            engine.add(self.tokens(4), params)
        for _ in range(3):
            engine.step()
        before = engine.stats()
        for _ in range(16):
            engine.step()
        after = engine.stats()
        model = after.forward_seconds - before.forward_seconds
        return 1 - model / (after.step_seconds - before.step_seconds)


def measure_streams(bench: Bench) -> float:
    return bench.decode_speed(16) / bench.decode_speed(1)


def measure_mixed(bench: Bench) -> float:
    """In steps whose whole budget goes to the long prompt: the last one before the short prompt
    comes, since they get longer as the prompt goes on. A request that comes just before a step
    waits for one, a request that comes just after its beginning for two; this one comes half-way.
    """
    engine = bench.engine(prefix_caching=False)
    one = _native.SamplingParams(max_tokens=1)
    long, prompt = engine.add(bench.tokens(4096), one), bench.tokens(64)
    for _ in range(3):
        begin = time.perf_counter()
        engine.step()
    step = time.perf_counter() - begin
    came: list[tuple[float, int]] = []
    arrival = threading.Timer(
        step / 2, lambda: came.append((time.perf_counter(), engine.add(prompt, one)))
    )
    arrival.start()
    engine.step()
    arrival.join()
    sent, short = came[0]
    while (update := engine.poll(short)) is None or not update.tokens:
        engine.step()
    ttft = time.perf_counter() - sent
    engine.abort(long)
    return ttft / step


def measure_prefix(bench: Bench) -> float:
    engine, prompt = bench.engine(), bench.tokens(2048)
    cold = bench.first_token_seconds(engine, [*prompt, 1])
    return cold / bench.first_token_seconds(engine, [*prompt, 2])


def measure_greedy(bench: Bench) -> float:
    return 100 * bench.share_outside_model(temperature=0.0)


def measure_top_p(bench: Bench) -> float:
    return 100 * bench.share_outside_model(top_p=0.95, temperature=0.7)


def measure_guided(bench: Bench, batch: int) -> float:
    params = SamplingParams(max_tokens=32, temperature=0.7, ignore_eos=True)
    return compare(bench.llm, batch, params, rounds=3)["ratio"]


# name -> (what to do, its unit, the target, whether more is better)
TARGETS: dict[str, tuple[Callable[[Bench], float], str, float, bool]] = {
    "streams": (measure_streams, "times", 3.0, True),
    "mixed": (measure_mixed, "steps", 2.0, False),
    "prefix": (measure_prefix, "times", 20.0, True),
    "greedy": (measure_greedy, "%", 2.0, False),
    "top-p": (measure_top_p, "%", 5.0, False),
    "guided-1": (lambda bench: measure_guided(bench, 1), "times", 0.95, True),
    "guided-16": (lambda bench: measure_guided(bench, 16), "times", 0.95, True),
}


@app.command()
def targets(
    model: ModelArgument,
    only: Annotated[list[str] | None, typer.Option(help="One of the names; repeatable.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="The median of so many is told.")] = 3,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what the engine is held to.

    [bold]streams[/bold]: tokens/s of 16 streams over those of 1. [bold]mixed[/bold]: first token of
    a short prompt while a long one is read, in steps. [bold]prefix[/bold]: first token of a 2k
    prompt over that of a cached one. [bold]greedy[/bold], [bold]top-p[/bold]: share of a step of 64
    requests outside the model. [bold]guided-1[/bold], [bold]guided-16[/bold]: decoding under a JSON
    schema over decoding freely.

    [dim]Example:[/dim]

      python benchmarks/serving.py targets model.gguf --only streams --only prefix
    """
    unknown = set(only or ()) - set(TARGETS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; allowed: {', '.join(TARGETS)}")
    bench, results = Bench(model, threads), []
    bench.decode_speed(1)  # warms up
    for name in only or TARGETS:
        measure, unit, target, more = TARGETS[name]
        with refusals():
            value = statistics.median(measure(bench) for _ in range(rounds))
        met = value >= target if more else value < target
        results.append({"name": name, "value": value, "unit": unit, "target": target, "met": met})
        if not as_json:
            sign = "at least" if more else "below"
            verdict = "met" if met else "MISSED"
            print(f"{name:8} {value:8.2f} {unit:6} {sign} {target:g}: {verdict}", flush=True)
    if as_json:
        print(json.dumps({"model": model.name, "targets": results}))


LENGTHS = ", ".join(f"{name} {prompt}+{output}" for name, (prompt, output) in MIXES.items())


@app.command()
def load(
    model: ModelArgument,
    mix: Annotated[
        str, typer.Option(help=f"Prompt and output tokens, within a quarter: {LENGTHS}.")
    ] = "chat",
    requests: Annotated[int, typer.Option("--requests", "-n", min=1)] = 32,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Closed loop: so many requests at a time.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, help="Poisson arrivals: requests per second.")
    ] = None,
    goodput: Annotated[
        list[str] | None,
        typer.Option(help="Limits in ms, as ttft:500 or tpot:100; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the trace.")] = 0,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put load on the engine and print latencies and throughput.

    A closed loop (--concurrency) keeps so many requests running, as a few busy clients do; it
    tells what the engine can do. Poisson arrivals (--rate) come when they come, as many
    independent clients do; it tells how long they wait.

    [dim]Examples:[/dim]

      python benchmarks/serving.py load model.gguf --concurrency 8

      python benchmarks/serving.py load model.gguf --mix agent --rate 0.5 --goodput ttft:2000
    """
    if mix not in MIXES:
        raise typer.BadParameter(f"mix is {mix!r}; allowed: {', '.join(MIXES)}")
    if (concurrency is None) == (rate is None):
        raise typer.BadParameter("give --concurrency or --rate, one of them")
    if rate is not None and rate <= 0:
        raise typer.BadParameter(f"--rate is {rate:g}; allowed: more than 0")
    try:
        limits = goodput_limits(goodput or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    bench = Bench(model, threads)
    trace = make_trace(mix, requests, rate=rate, vocab=bench.vocab, seed=seed)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as bar:
        task = bar.add_task(f"{mix}, {requests} requests", total=requests)
        with refusals():
            records = drive(
                bench.engine(),
                trace,
                concurrency=concurrency,
                progress=lambda done: bar.update(task, completed=done),
            )
    figures = summary(records, limits)
    if as_json:
        print(json.dumps({"model": model.name, "mix": mix, **figures}))
        return
    table = Table("ms", "mean", "p50", "p99", title=f"{model.name}, {mix}")
    for name in ("ttft", "tpot", "itl", "e2el"):
        table.add_row(
            name.upper(), *(f"{figures[f'{name}_ms'][k]:,.1f}" for k in ("mean", "p50", "p99"))
        )
    Console().print(table)
    for name in ("requests", "output_tokens", "total_tokens", "goodput"):
        print(f"{name.replace('_', ' '):14} {figures[f'{name}_per_second']:10.2f} per second")


if __name__ == "__main__":
    app()
