"""What the server costs beyond the engine, and what it does under more than it can do.

    python benchmarks/over_http.py MODEL.gguf [--only cpu-1 --only first-token ...] [--json]

Starts `pyslm serve` on the model and measures, with targets:

    overload-p50   429s to 50 times as many clients as there are places, who
    overload-p99   come back a second later, in ms                          below 50, below 250
    burst-p50      429s to as many clients that all ask in the same instant,
    burst-p99      200 of them, in ms                                       below 50, below 250
    lost           accepted requests of both whose answer was not whole     0
    disconnects    blocks in use after clients that left in mid-stream, a
                   third of them before the first token                     0
    cpu-1, cpu-16  CPU time of front and worker for each streamed token
                   beyond that of `LLM.generate`, 1 and 16 streams, in us   at most 150
                   (engine on one thread: others spin for 50 us before they
                   sleep, which is no cost of the server)
    first-token    its time over HTTP less that in-process, in ms           below 3

A tiny model shows overhead best. The clients compute on the same cores. A 429 takes the front 0.15
ms, most of them uvicorn's, so that the last of a burst of 1,600 would wait for 250.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from load.crowd import disconnects, overload
from load.server import Connection, Server, serving

from pyslm import LLM, ChatTemplateError, SamplingParams
from pyslm.request import StreamChunk

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__.splitlines()[0])

PARALLEL, QUEUED = 2, 2


class Bench:
    """A model, in this process and behind HTTP."""

    def __init__(self, model: Path, threads: int | None) -> None:
        self.model = model
        self.threads = threads
        self.llm = LLM(model, threads=threads, max_sequences=16)
        self.has_template = True
        try:
            self.llm.chat([{"role": "user", "content": "Hi"}], SamplingParams(max_tokens=1))
        except ChatTemplateError:
            self.has_template = False
        self.path = "/v1/chat/completions" if self.has_template else "/v1/completions"

    def body(self, prompt: str, tokens: int, **fields: Any) -> dict[str, Any]:
        """A request for so many tokens."""
        asked: dict[str, Any] = {"prompt": prompt}
        if self.has_template:
            asked = {"messages": [{"role": "user", "content": prompt}]}
        return {**asked, "max_tokens": tokens, "ignore_eos": True, "seed": 1, **fields}

    @property
    def context_length(self) -> int:
        """In tokens."""
        return self.llm.info.context_length

    def first_chunk(self, prompt: str) -> StreamChunk:
        """The beginning of an answer in this process."""
        params = SamplingParams(max_tokens=2, ignore_eos=True, seed=1)
        messages = [{"role": "user", "content": prompt}]
        llm = self.llm
        stream = (
            llm.chat_stream(messages, params) if self.has_template else llm.stream(prompt, params)
        )
        with stream:
            return next(stream)

    def serving(self, *options: object) -> contextlib.AbstractContextManager[Server]:
        """A server of the model."""
        threads = () if self.threads is None else ("--threads", self.threads)
        return serving(self.model, *threads, *options)


async def cpu_per_token(bench: Bench, server: Server, streams: int, tokens: int) -> float:
    """Microseconds beyond those of the engine."""
    per_stream = min(tokens // streams, bench.context_length - 64)
    rounds = max(tokens // (per_stream * streams), 1)
    body = bench.body("Hi", per_stream, stream=True)
    prompts = [bench.llm.tokenize("Hi")] * streams
    params = SamplingParams(max_tokens=per_stream, ignore_eos=True, seed=1)

    async def all_streams(connections: list[Connection]) -> None:
        await asyncio.gather(*(each.ask("POST", bench.path, body) for each in connections))

    async with contextlib.AsyncExitStack() as stack:
        opened = [Connection.open(server.port) for _ in range(streams)]
        connections = [await stack.enter_async_context(each) for each in opened]
        await all_streams(connections)
        began = server.cpu_seconds()
        for _ in range(rounds):
            await all_streams(connections)
        over_http = server.cpu_seconds() - began
    bench.llm.generate(prompts, params)
    began = time.process_time()
    for _ in range(rounds):
        bench.llm.generate(prompts, params)
    in_process = time.process_time() - began
    return (over_http - in_process) / (rounds * streams * per_stream) * 1e6


async def first_token(bench: Bench, server: Server, rounds: int) -> float:
    """Milliseconds by which it comes later, in the median of pairs."""
    later = []
    async with Connection.open(server.port) as connection:
        for index in range(-3, rounds):
            prompt = f"{index} is a number"  # in no prefix cache
            began = time.perf_counter()
            connection.send("POST", bench.path, bench.body(prompt, 2, stream=True))
            await connection.head()
            while not _has_text(await connection.chunk()):
                pass
            over_http = time.perf_counter() - began
            while await connection.chunk():
                pass
            began = time.perf_counter()
            bench.first_chunk(prompt)
            if index >= 0:
                later.append(over_http - (time.perf_counter() - began))
    return statistics.median(later) * 1e3


def _has_text(piece: bytes) -> bool:
    for line in piece.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                if choice.get("text") or choice.get("delta", {}).get("content"):
                    return True
    return False


def measure_overload(bench: Bench, seconds: float = 10.0) -> dict[str, float]:
    found: dict[str, float] = {"lost": 0}
    with bench.serving("--parallel", PARALLEL, "--max-queued", QUEUED) as server:
        for name, at_once in (("overload", False), ("burst", True)):
            refusals = asyncio.run(
                overload(bench, server, PARALLEL + QUEUED, seconds=seconds, at_once=at_once)
            )
            found |= {f"{name}-p{percent}": refusals.percentile(percent) for percent in (50, 99)}
            found["lost"] += refusals.num_lost
    return found


def measure_disconnects(bench: Bench, count: int = 10_000) -> dict[str, float]:
    with bench.serving() as server:
        return {"disconnects": asyncio.run(disconnects(bench, server, count))}


def measure_cpu(bench: Bench, tokens: int = 16_384) -> dict[str, float]:
    found = {}
    bench = bench if bench.threads == 1 else Bench(bench.model, threads=1)
    for streams in (1, 16):
        with bench.serving() as server:
            found[f"cpu-{streams}"] = asyncio.run(cpu_per_token(bench, server, streams, tokens))
    return found


def measure_first_token(bench: Bench, rounds: int = 100) -> dict[str, float]:
    with bench.serving() as server:
        return {"first-token": asyncio.run(first_token(bench, server, rounds))}


Measure = Callable[[Bench], dict[str, float]]
# name -> (what to do, its unit, the most it may be)
TARGETS: dict[str, tuple[Measure, str, float]] = {
    "overload-p50": (measure_overload, "ms", 50.0),
    "overload-p99": (measure_overload, "ms", 250.0),
    "burst-p50": (measure_overload, "ms", 50.0),
    "burst-p99": (measure_overload, "ms", 250.0),
    "lost": (measure_overload, "", 0.0),
    "disconnects": (measure_disconnects, "", 0.0),
    "cpu-1": (measure_cpu, "us", 150.0),
    "cpu-16": (measure_cpu, "us", 150.0),
    "first-token": (measure_first_token, "ms", 3.0),
}


@app.command()
def main(
    model: Annotated[Path, typer.Argument(help="A GGUF file.", exists=True)],
    only: Annotated[list[str] | None, typer.Option(help="One of the names; repeatable.")] = None,
    threads: Annotated[int | None, typer.Option(help="Default: physical cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure what the server is held to.

    [dim]Example:[/dim]

      python benchmarks/over_http.py model.gguf --only cpu-1 --only first-token
    """
    unknown = set(only or ()) - set(TARGETS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; allowed: {', '.join(TARGETS)}")
    bench, found, results = Bench(model, threads), dict[str, float](), []
    for name in only or TARGETS:
        measure, unit, most = TARGETS[name]
        if name not in found:
            found |= measure(bench)
        met = found[name] <= most
        results.append({"name": name, "value": found[name], "unit": unit, "target": most})
        if not as_json:
            verdict = "met" if met else "MISSED"
            print(f"{name:13} {found[name]:8.2f} {unit:2} at most {most:g}: {verdict}", flush=True)
    if as_json:
        print(json.dumps({"model": model.name, "targets": results}))


if __name__ == "__main__":
    app()
