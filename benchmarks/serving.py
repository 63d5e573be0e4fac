"""Load on the serving engine, and the figures that it is held to.

    python benchmarks/serving.py load MODEL.gguf [--mix chat] [--concurrency 8 | --rate 2]
    python benchmarks/serving.py targets MODEL.gguf [--only streams --only mixed ...] [--json]

`load` prints what `vllm bench serve` prints: time to first token (TTFT), time per output token
(TPOT), gaps between outputs (ITL), end-to-end latency (E2EL), throughput and goodput. `targets`
measures, in pairs within this run:

    streams   16 streams over 1: tokens per second                          at least 3
    mixed     TTFT of a 64-token prompt while a long one is read, in steps  below 2
    prefix    TTFT of a 2k-token prompt over that of the same one cached    at least 20
    greedy    share of a step of 64 requests outside the model              below 2 %
    top-p     the same with top-p 0.95                                      below 5 %
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from load.drive import drive
from load.metrics import summary
from load.trace import MIXES, Request, make_trace
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pyslm import LLM, _native

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__.splitlines()[0])
ModelArgument = Annotated[Path, typer.Argument(help="A GGUF file.", exists=True)]
ThreadsOption = Annotated[int | None, typer.Option(help="Default: physical cores.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


class Bench:
    """A model, and engines over it that share nothing."""

    def __init__(self, model: Path, threads: int | None) -> None:
        trained = int(_native.read_spec(str(model))["trained_context_length"])
        self.llm = LLM(model, threads=threads, context_length=min(trained, 8192), max_sequences=64)
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
    """In steps whose whole budget goes to prompts, measured in the same run."""
    engine = bench.engine(prefix_caching=False)
    long = engine.add(bench.tokens(4096), _native.SamplingParams(max_tokens=1))
    engine.step()
    steps = []
    for _ in range(3):
        begin = time.perf_counter()
        engine.step()
        steps.append(time.perf_counter() - begin)
    ttft = bench.first_token_seconds(engine, bench.tokens(64))
    engine.abort(long)
    return ttft / statistics.median(steps)


def measure_prefix(bench: Bench) -> float:
    engine, prompt = bench.engine(), bench.tokens(2048)
    cold = bench.first_token_seconds(engine, [*prompt, 1])
    return cold / bench.first_token_seconds(engine, [*prompt, 2])


def measure_greedy(bench: Bench) -> float:
    return 100 * bench.share_outside_model(temperature=0.0)


def measure_top_p(bench: Bench) -> float:
    return 100 * bench.share_outside_model(top_p=0.95, temperature=0.7)


# name -> (what to do, its unit, the target, whether more is better)
TARGETS: dict[str, tuple[Callable[[Bench], float], str, float, bool]] = {
    "streams": (measure_streams, "times", 3.0, True),
    "mixed": (measure_mixed, "steps", 2.0, False),
    "prefix": (measure_prefix, "times", 20.0, True),
    "greedy": (measure_greedy, "%", 2.0, False),
    "top-p": (measure_top_p, "%", 5.0, False),
}


@app.command()
def targets(
    model: ModelArgument,
    only: Annotated[list[str] | None, typer.Option(help="One of the names; repeatable.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="The median of so many is told.")] = 3,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what the engine is held to."""
    unknown = set(only or ()) - set(TARGETS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; allowed: {', '.join(TARGETS)}")
    bench, results = Bench(model, threads), []
    bench.decode_speed(1)  # warms up
    for name in only or TARGETS:
        measure, unit, target, more = TARGETS[name]
        value = statistics.median(measure(bench) for _ in range(rounds))
        met = value >= target if more else value < target
        results.append({"name": name, "value": value, "unit": unit, "target": target, "met": met})
        if not as_json:
            sign = "at least" if more else "below"
            verdict = "met" if met else "MISSED"
            print(f"{name:8} {value:8.2f} {unit:6} {sign} {target:g}: {verdict}", flush=True)
    if as_json:
        print(json.dumps({"model": model.name, "targets": results}))


@app.command()
def load(
    model: ModelArgument,
    mix: Annotated[str, typer.Option(help=f"Lengths: {', '.join(MIXES)}.")] = "chat",
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
    """Put load on the engine and print latencies and throughput."""
    if mix not in MIXES:
        raise typer.BadParameter(f"mix is {mix!r}; allowed: {', '.join(MIXES)}")
    if (concurrency is None) == (rate is None):
        raise typer.BadParameter("give --concurrency or --rate, one of them")
    limits = {name: float(ms) for name, _, ms in (g.partition(":") for g in goodput or ())}
    bench = Bench(model, threads)
    trace = make_trace(mix, requests, rate=rate, vocab=bench.vocab, seed=seed)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as bar:
        task = bar.add_task(f"{mix}, {requests} requests", total=requests)
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
