"""Runs a trace on an engine, stepping it on this thread: the engine is measured, not asyncio."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from load.metrics import Record
from load.trace import Request
from pyslm import _native


def drive(
    engine: _native.Engine,
    trace: Sequence[Request],
    *,
    concurrency: int | None = None,
    params: Callable[[int], _native.SamplingParams] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Record]:
    """One record a request.

    Args:
        concurrency: a closed loop of so many requests at a time, in place of the trace's times.
        params: of the request at an index; default: greedy, past any end token.
        progress: called with the number of requests done.
    """
    waiting = deque(enumerate(trace))
    running: dict[int, Record] = {}
    records: list[Record] = []
    start = time.perf_counter()

    def due() -> bool:
        if not waiting or (concurrency is not None and len(running) >= concurrency):
            return False
        return concurrency is not None or waiting[0][1].arrival <= time.perf_counter() - start

    while waiting or running:
        while due():
            index, request = waiting.popleft()
            made = params(index) if params else _native.SamplingParams(temperature=0.0)
            made.max_tokens, made.ignore_eos = request.output_tokens, True
            # A request counts from when it was due, however late the loop came round to it.
            now = time.perf_counter() - start
            sent = now if concurrency is not None else request.arrival
            running[engine.add(request.prompt, made)] = Record(sent, len(request.prompt))
        if not running:
            time.sleep(max(0.0, waiting[0][1].arrival - (time.perf_counter() - start)))
            continue
        engine.step()
        now = time.perf_counter() - start
        for update in engine.poll_many(list(running)):
            if update.tokens:
                running[update.id].events.append((now, len(update.tokens)))
            if update.finish is not None:
                records.append(running.pop(update.id))
                progress(len(records))
    return records
