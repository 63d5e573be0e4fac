"""How long a new process takes to the first token of a 16-token prompt, beside llama.cpp.

    python benchmarks/compare/start.py MODEL.gguf ... --peer PYTHON [--repeat 5]

PYTHON is an interpreter with llama-cpp-python (also PYSLM_PEER_PYTHON); llama.cpp repacks weights
where it knows how. Ours is the second start: the first stores its packed weights, which are removed
in the end. The processes take turns; wall time from before the imports, medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = """
import sys, time
began = time.perf_counter()
import pyslm
llm = pyslm.LLM(sys.argv[1], context_length=512, threads=int(sys.argv[2]))
params = pyslm.SamplingParams(max_tokens=1, temperature=0, ignore_eos=True)
llm.generate([list(range(100, 116))], params)
print(time.perf_counter() - began)
llm.close()
"""
THEIRS = """
import sys, time
began = time.perf_counter()
import llama_cpp
threads = int(sys.argv[2])
model = llama_cpp.Llama(
    sys.argv[1], n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False
)
model.eval(list(range(100, 116)))
print(time.perf_counter() - began)
"""


def seconds(python: str, code: str, model: str, threads: int, cache: str) -> float:
    """Of one new process."""
    command = [python, "-P", "-c", code, model, str(threads)]
    environment = {**os.environ, "PYSLM_CACHE_DIR": cache}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def compare(model: str, args: argparse.Namespace) -> dict[str, float]:
    """Medians of both, and of the rounds' ratios."""
    with tempfile.TemporaryDirectory() as cache:
        seconds(sys.executable, OURS, model, args.threads, cache)  # stores the packed weights
        pairs = [
            (
                seconds(sys.executable, OURS, model, args.threads, cache),
                seconds(args.peer, THEIRS, model, args.threads, cache),
            )
            for _ in range(args.repeat)
        ]
    return {
        "ours": statistics.median(a for a, _ in pairs),
        "theirs": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--peer", default=os.environ.get("PYSLM_PEER_PYTHON", sys.executable))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = {}
    for model in args.models:
        name = Path(model).name
        found[name] = row = compare(model, args)
        if not args.json:
            print(
                f"{name:28} {row['ours']:6.2f} s, llama.cpp {row['theirs']:6.2f} s"
                f"   ratio {row['ratio']:5.2f}",
                flush=True,
            )
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
