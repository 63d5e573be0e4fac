"""Takes turns between our engine and others on the same work, and tells the ratios."""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker import Worker

__all__ = ["add_options", "compare", "write_json"]


@dataclass(frozen=True)
class Row:
    work: str
    ours: float  # median tokens per second
    theirs: float
    ratio: float  # median of the rounds' ratios
    low: float
    high: float


def compare(
    path: str, ours: Worker, peers: Sequence[Worker], args: argparse.Namespace
) -> dict[str, Any]:
    """All kinds of work on one model; theirs is the best of the peers in each round."""
    jobs: list[tuple[str, list[Any]]] = [(f"prompt {args.prompt}", ["prompt", args.prompt])]
    jobs += [(f"{b} streams", ["decode", b, args.output, args.depth]) for b in args.batches]
    name, rows = Path(path).name, list[Row]()
    for work, command in jobs:
        rows.append(row := _take_turns(work, command, ours, peers, args.rounds))
        print(
            f"{name:28} {work:12} {row.ours:8.1f} {row.theirs:8.1f} tok/s"
            f"   ratio {row.ratio:5.2f}  ({row.low:.2f} to {row.high:.2f})",
            flush=True,
        )
    memory = {"ours": ours.ask(["rss"]), "theirs": min(peer.ask(["rss"]) for peer in peers)}
    load = {"ours": ours.load_seconds, "theirs": min(peer.load_seconds for peer in peers)}
    print(
        f"{name:28} peak RSS {memory['ours'] / 2**20:.0f} and {memory['theirs'] / 2**20:.0f} MiB,"
        f" file {os.path.getsize(path) / 2**20:.0f} MiB;"
        f" load {load['ours']:.2f} and {load['theirs']:.2f} s"
    )
    for worker in (ours, *peers):
        worker.close()
    return {"model": path, "rows": [vars(row) for row in rows], "rss": memory, "load": load}


def _take_turns(
    work: str, command: list[Any], ours: Worker, peers: Sequence[Worker], rounds: int
) -> Row:
    mine: list[float] = []
    best: list[float] = []
    ours.ask(command)  # warm
    for _ in range(rounds):
        mine.append(float(ours.ask(command)))
        best.append(max(float(peer.ask(command)) for peer in peers))
    ratios = sorted(a / b for a, b in zip(mine, best, strict=True))
    return Row(
        work,
        statistics.median(mine),
        statistics.median(best),
        statistics.median(ratios),
        ratios[0],
        ratios[-1],
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the comparisons share."""
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--output", type=int, default=32)
    parser.add_argument("--depth", type=int, default=16, help="prompt before decoding")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")


def write_json(results: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Where it was asked for."""
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=2))
