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
    first-token    its time over HTTP less that in-process, in ms           below 3

A tiny model shows overhead best. The clients compute on the same cores. A 429 takes the front 0.15
ms, most of them uvicorn's, so that the last of a burst of 1,600 would wait for 250.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from load.server import Connection, Server, serving

from pyslm import LLM, ChatTemplateError, SamplingParams
from pyslm.request import StreamChunk

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__.splitlines()[0])

OVER = 50
PARALLEL, QUEUED = 2, 2
TOKENS = 128
_MISSING = 1e9


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

    def body(self, prompt: str, tokens: int = TOKENS, **fields: Any) -> dict[str, Any]:
        """A request for so many tokens."""
        asked: dict[str, Any] = {"prompt": prompt}
        if self.has_template:
            asked = {"messages": [{"role": "user", "content": prompt}]}
        return {**asked, "max_tokens": tokens, "ignore_eos": True, "seed": 1, **fields}

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


@dataclass(slots=True)
class Refusals:
    """What clients met that a server had no place for."""

    seconds: list[float] = field(default_factory=list)
    """Of each 429."""
    num_whole: int = 0
    """Requests accepted and answered in full."""
    num_lost: int = 0
    """Requests that got neither a 429 nor a whole answer."""

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        if len(self.seconds) < 2:
            return _MISSING
        return statistics.quantiles(self.seconds, n=100)[percent - 1] * 1e3

    async def ask(self, connection: Connection, path: str, body: dict[str, Any]) -> bool:
        """One request; gives whether it was refused."""
        try:
            answer = await connection.ask("POST", path, body)
            if answer.status == 429:
                self.seconds.append(answer.seconds)
                return True
            is_whole = answer.status == 200 and _num_tokens(answer.body) == body["max_tokens"]
        except (OSError, EOFError, ValueError):
            is_whole = False
        self.num_whole += is_whole
        self.num_lost += not is_whole
        return False


def _num_tokens(body: bytes) -> int:
    """That an answer says it has, streamed or not."""
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")] or [body]
    return int((json.loads(events[-1])["usage"] or {}).get("completion_tokens", 0))


async def overload(
    bench: Bench, server: Server, places: int, *, seconds: float, at_once: bool
) -> Refusals:
    """50 times as many clients as places, with a connection each; every other one streams.

    Args:
        at_once: all ask in the same instant, again once all are answered; otherwise each by
            itself, and again once it is answered, or a second after it was refused as it is told.
    """
    found = Refusals()
    deadline = time.monotonic() + seconds
    fields = ({}, {"stream": True, "stream_options": {"include_usage": True}})
    bodies = [bench.body("Hi", **each) for each in fields]

    async def client(index: int, connection: Connection) -> None:
        await asyncio.sleep(0 if at_once else random.random())
        while True:
            is_refused = await found.ask(connection, bench.path, bodies[index % 2])
            if at_once or time.monotonic() > deadline:
                return
            if is_refused:
                await asyncio.sleep(0.5 + random.random())

    async with contextlib.AsyncExitStack() as stack:
        opened = [Connection.open(server.port) for _ in range(OVER * places)]
        connections = [await stack.enter_async_context(each) for each in opened]
        await connections[0].ask("POST", bench.path, bodies[0])  # warms up
        while time.monotonic() < deadline:
            await asyncio.gather(*(client(*each) for each in enumerate(connections)))
    return found


async def disconnects(bench: Bench, server: Server, count: int, *, width: int = 50) -> float:
    """Clients that leave, so many at a time; gives the share of blocks in use once all have, and
    fails where the server does not answer on."""
    body = bench.body("Hi", bench.llm.info.context_length // 2, stream=True)

    async def leave(index: int) -> None:
        async with Connection.open(server.port) as connection:
            connection.send("POST", bench.path, body)
            if index % 3 == 0:
                await asyncio.sleep(random.random() * 0.005)
                return
            await connection.head()
            for _ in range(2 + index % 7):
                if not await connection.chunk():
                    return

    async def leave_often(begin: int) -> None:
        for index in range(begin, count, width):
            await leave(index)

    await asyncio.gather(*map(leave_often, range(width)))
    numbers = await _quiet(server)
    async with Connection.open(server.port) as connection:
        answer = await connection.ask("POST", bench.path, bench.body("Hi", 8))
    if answer.status != 200 or _num_tokens(answer.body) != 8:
        raise SystemExit(f"the server no longer answers: {answer.status} {answer.body[:200]!r}")
    return numbers["kv_cache_usage_perc"]


async def _quiet(server: Server, seconds: float = 10.0) -> dict[str, float]:
    """The metrics once nothing runs, or when it takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        await asyncio.sleep(1.2)  # the worker tells its numbers every second
        numbers = await server.metrics()
        busy = numbers["num_requests_running"] + numbers["num_requests_waiting"]
        if (not busy and not numbers["kv_cache_usage_perc"]) or time.monotonic() > deadline:
            return numbers


async def cpu_per_token(bench: Bench, server: Server, streams: int, tokens: int) -> float:
    """Microseconds beyond those of the engine."""
    per_stream = min(tokens // streams, bench.llm.info.context_length - 64)
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
