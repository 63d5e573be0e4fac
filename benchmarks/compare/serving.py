"""pyslm's engine against llama-server's way of serving, on the same file and the same requests.

    python benchmarks/compare/serving.py MODEL.gguf --peer PYTHON [--mix chat] [--concurrency 8]
    python benchmarks/compare/serving.py MODEL.gguf --peer PYTHON --rate 1.5

The peer is llama.cpp's batch interface (llama-cpp-python) driven as llama-server drives it: 16
slots, one token of each that decodes, the rest of a batch of 512 for prompts. Both engines stay
loaded and take turns on the same trace; what is told is the median over rounds of each figure and
of the rounds' ratios. No HTTP on either side; greedy decoding on both.

The machine must be idle: llama.cpp's threads wait for each other by spinning, and where something
else takes a core they wait for milliseconds, hundreds of times a step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from worker import Worker

sys.path.insert(0, str(Path(__file__).parents[1]))
from load.metrics import Record, summary
from load.trace import MIXES, make_trace

from pyslm import _native

# Name of a figure -> where it stands in the summary, and whether more of it is better.
FIGURES = {
    "output tokens per second": (("output_tokens_per_second",), True),
    "total tokens per second": (("total_tokens_per_second",), True),
    "TTFT p50, ms": (("ttft_ms", "p50"), False),
    "TTFT p99, ms": (("ttft_ms", "p99"), False),
    "TPOT p50, ms": (("tpot_ms", "p50"), False),
    "E2EL p99, ms": (("e2el_ms", "p99"), False),
}


def figures_of(answer: list[list[Any]]) -> dict[str, float]:
    records = []
    for sent, prompt_tokens, events in answer:
        records.append(Record(sent, prompt_tokens, [(when, int(n)) for when, n in events]))
    whole = summary(records, {})
    result = {}
    for name, (path, _) in FIGURES.items():
        value: Any = whole
        for key in path:
            value = value[key]
        result[name] = float(value)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--peer", default=os.environ.get("PYSLM_PEER_PYTHON", sys.executable))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mix", choices=list(MIXES), default="chat")
    parser.add_argument("--requests", type=int, default=24)
    parser.add_argument("--concurrency", type=int, default=8, help="closed loop; unless --rate")
    parser.add_argument("--rate", type=float, help="Poisson arrivals, requests per second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    if os.getloadavg()[0] > 1:
        print(f"busy machine (load {os.getloadavg()[0]:.1f}): do not quote this", file=sys.stderr)
    spec = _native.read_spec(args.model)
    vocab, context = int(spec["vocab_size"]), min(32768, int(spec["trained_context_length"]))
    common = {"path": args.model, "threads": args.threads, "context": context, "kv_type": "f16"}
    ours = Worker(sys.executable, "worker_pyslm.py", **common)
    peer = Worker(args.peer, "worker_llama_cpp.py", **common, flash=1, repack=1)
    rounds: list[tuple[dict[str, float], dict[str, float]]] = []
    for seed in range(args.rounds + 1):
        trace = make_trace(args.mix, args.requests, rate=args.rate, vocab=vocab, seed=seed)
        lines = [[request.arrival, request.prompt, request.output_tokens] for request in trace]
        command = ["serve", lines, 0 if args.rate else args.concurrency]
        both = [ours, peer] if seed % 2 else [peer, ours]  # in turns first and second
        figures = {worker: figures_of(worker.ask(command)) for worker in both}
        if seed > 0:  # the first round warms up
            rounds.append((figures[ours], figures[peer]))
    print(f"{Path(args.model).name}, {args.mix}: pyslm, llama.cpp, ratio (more is better)")
    rows = []
    for name, (_, more) in FIGURES.items():
        pairs = [(mine[name], theirs[name]) for mine, theirs in rounds]
        ratio = statistics.median(a / b if more else b / a for a, b in pairs)
        mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        rows.append({"figure": name, "ours": mine, "theirs": theirs, "ratio": ratio})
        print(f"  {name:26} {mine:10.1f} {theirs:10.1f}   {ratio:5.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps({"model": args.model, "rows": rows}, indent=2))
    ours.close()
    peer.close()


if __name__ == "__main__":
    main()
