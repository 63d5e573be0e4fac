"""pyslm against llama.cpp on the same files, in pairs within one run.

    python benchmarks/compare/llama_cpp.py MODEL.gguf ... --peer PYTHON [--threads 2] [--rounds 5]

PYTHON is an interpreter with llama-cpp-python (the extra `compare`; also PYSLM_PEER_PYTHON). Both
engines stay loaded and take turns, so that a slow spell of the machine hits both; the ratio is the
median over rounds of ours / theirs, where theirs is the best of llama.cpp's settings in that round
(flash attention on and off; weights repacked and not, with --all-settings).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker import Worker


@dataclass(frozen=True)
class Row:
    work: str
    ours: float  # median tokens per second
    theirs: float
    ratio: float  # median of the rounds' ratios
    low: float
    high: float


def compare(path: str, args: argparse.Namespace) -> dict[str, Any]:
    """All kinds of work on one model."""
    common = {
        "path": path,
        "threads": args.threads,
        "context": args.context,
        "kv_type": args.kv_type,
    }
    ours = Worker(sys.executable, "worker_pyslm.py", **common)
    # Without flash attention llama.cpp refuses quantized values.
    flashes = (1, 0) if args.kv_type == "f16" else (1,)
    repacks = (1, 0) if args.all_settings else (1,)
    settings = [(flash, repack) for repack in repacks for flash in flashes]
    peers = [
        Worker(args.peer, "worker_llama_cpp.py", **common, flash=flash, repack=repack)
        for flash, repack in settings
    ]
    jobs: list[tuple[str, list[Any]]] = [(f"prompt {args.prompt}", ["prompt", args.prompt])]
    jobs += [(f"{b} streams", ["decode", b, args.output, args.depth]) for b in args.batches]
    name, rows = Path(path).name, list[Row]()
    for work, command in jobs:
        mine: list[float] = []
        best: list[float] = []
        ours.ask(command)  # warm
        for _ in range(args.rounds):
            mine.append(float(ours.ask(command)))
            best.append(max(float(peer.ask(command)) for peer in peers))
        ratios = sorted(a / b for a, b in zip(mine, best, strict=True))
        row = Row(
            work,
            statistics.median(mine),
            statistics.median(best),
            statistics.median(ratios),
            ratios[0],
            ratios[-1],
        )
        rows.append(row)
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--peer", default=os.environ.get("PYSLM_PEER_PYTHON", sys.executable))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--kv-type", default="f16", choices=["f16", "q8_0"])
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--output", type=int, default=32)
    parser.add_argument("--depth", type=int, default=16, help="prompt before decoding")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--all-settings", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    results = [compare(path, args) for path in args.models]
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
