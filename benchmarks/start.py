"""How long a person waits for the first token.

    python benchmarks/start.py MODEL.gguf
    python benchmarks/start.py MODEL.gguf --repeat 5 --json

Each row is the median over new processes, from their start to the first token of `pyslm run MODEL
hi`, in wall time and in processor time of all their threads:

    no cache    packed from the file each time
    first       packed, and stored for the next start; `exit` is when the process ended
    second      mapped

The model file itself is in the page cache, as after a download.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHILD = """
import json, resource, sys, time
started = float(sys.argv[2])
import pyslm
llm = pyslm.LLM(sys.argv[1], max_sequences=1, weight_cache=sys.argv[3] == "yes")
loaded = time.time()
stream = llm.stream("hi", pyslm.SamplingParams(max_tokens=1, temperature=0, ignore_eos=True))
for _ in stream:
    pass
first = time.time()
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "load": loaded - started, "first_token": first - started,
    "processor": usage.ru_utime + usage.ru_stime, "rss_mib": usage.ru_maxrss / 1024,
    "weights": llm.info.weight_cache.split()[0].rstrip(";"),
}))
sys.stdout.flush()
llm.close()
"""


def start(model: Path, directory: str, cache: bool) -> dict[str, Any]:
    """One process: seconds, MiB, and where its weights came from."""
    started = time.time()
    arguments = [str(model), repr(started), "yes" if cache else "no"]
    output = subprocess.run(
        [sys.executable, "-P", "-c", CHILD, *arguments],
        env=os.environ | {"PYSLM_CACHE_DIR": directory},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {**json.loads(output), "exit": time.time() - started}


def measure(model: Path, repeat: int) -> dict[str, dict[str, float]]:
    """Row -> column -> median."""
    runs: dict[str, list[dict[str, Any]]] = {"no cache": [], "first": [], "second": []}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(repeat):
            runs["no cache"].append(start(model, directory, cache=False))
            shutil.rmtree(Path(directory, "packed"), ignore_errors=True)
            for row, weights in (("first", "packed"), ("second", "mapped")):
                run = start(model, directory, cache=True)
                if run["weights"] != weights:
                    raise SystemExit(f"the {row} start had its weights {run['weights']}")
                runs[row].append(run)
    columns = ("load", "first_token", "processor", "exit", "rss_mib")
    return {
        row: {column: statistics.median(run[column] for run in of) for column in columns}
        for row, of in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = measure(options.model, options.repeat)
    if options.json:
        print(json.dumps(table, indent=2))
        return
    print(f"{'start':10} {'loaded':>8} {'1st token':>10} {'processor':>10} {'exit':>8} {'RSS':>9}")
    for row, cell in table.items():
        print(
            f"{row:10} {cell['load']:6.2f} s {cell['first_token']:8.2f} s "
            f"{cell['processor']:8.2f} s {cell['exit']:6.2f} s {cell['rss_mib']:5.0f} MiB"
        )


if __name__ == "__main__":
    main()
