"""pyslm against llama.cpp on the same files, in pairs within one run.

    python benchmarks/compare/llama_cpp.py MODEL.gguf ... --peer PYTHON [--threads 2] [--rounds 5]

PYTHON is an interpreter with llama-cpp-python (the extra `compare`; also PYSLM_PEER_PYTHON). Both
engines stay loaded and take turns, so that a slow spell of the machine hits both; the ratio is the
median over rounds of ours / theirs, where theirs is the best of llama.cpp's settings in that round
(flash attention on and off; weights repacked and not, with --all-settings).
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import rounds
from worker import Worker


def compare(path: str, args: argparse.Namespace) -> dict[str, Any]:
    """One model."""
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
    return rounds.compare(path, ours, peers, args)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rounds.add_options(parser)
    parser.add_argument("--peer", default=os.environ.get("PYSLM_PEER_PYTHON", sys.executable))
    parser.add_argument("--kv-type", default="f16", choices=["f16", "q8_0"])
    parser.add_argument("--all-settings", action="store_true")
    args = parser.parse_args()
    rounds.write_json([compare(path, args) for path in args.models], args)


if __name__ == "__main__":
    main()
