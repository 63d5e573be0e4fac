"""How long a new process takes to the first token of a short prompt, beside llama.cpp.

    python benchmarks/compare/start.py MODEL.gguf ... --peer PYTHON [--repeat 5]

PYTHON is an interpreter with llama-cpp-python (also PYSLM_PEER_PYTHON); llama.cpp repacks weights
where it knows how. Ours is the second start: the first stores its packed weights, which are removed
in the end. The processes take turns; wall time from before the imports, medians. Once with a prompt
of 16 token ids, and once of text, for which ours builds the encoder that it has no need of before.
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
llm.generate(sys.argv[3] or [list(range(100, 116))], params)
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
text = sys.argv[3].encode()
model.eval(model.tokenize(text) if text else list(range(100, 116)))
print(time.perf_counter() - began)
"""


TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps."


def seconds(python: str, code: str, model: str, threads: int, cache: str, text: str = "") -> float:
    """Of one new process."""
    command = [python, "-P", "-c", code, model, str(threads), text]
    environment = {**os.environ, "PYSLM_CACHE_DIR": cache}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def compare(model: str, text: str, args: argparse.Namespace) -> dict[str, float]:
    """Medians of both, and of the rounds' ratios."""
    with tempfile.TemporaryDirectory() as cache:
        seconds(sys.executable, OURS, model, args.threads, cache)  # stores the packed weights
        pairs = [
            (
                seconds(sys.executable, OURS, model, args.threads, cache, text),
                seconds(args.peer, THEIRS, model, args.threads, cache, text),
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
        for prompt, text in (("ids", ""), ("text", TEXT)):
            name = f"{Path(model).name} {prompt}"
            found[name] = row = compare(model, text, args)
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
