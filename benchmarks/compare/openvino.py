"""pyslm against openvino-genai on the same files, in pairs within one run.

    python benchmarks/compare/openvino.py MODEL.gguf ... --peer PYTHON [--threads 2] [--rounds 5]

PYTHON is an interpreter with openvino-genai, which reads GGUF files of some architectures and types
itself. Both engines stay loaded and take turns; the ratio is the median over rounds.
"""

from __future__ import annotations

import argparse
import os
import sys

import rounds
from worker import Worker


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rounds.add_options(parser)
    parser.add_argument("--peer", default=os.environ.get("PYSLM_OPENVINO_PYTHON", sys.executable))
    args = parser.parse_args()
    results = []
    for path in args.models:
        common = {"path": path, "threads": args.threads, "context": args.context}
        ours = Worker(sys.executable, "worker_pyslm.py", kv_type="f16", **common)
        peer = Worker(args.peer, "worker_openvino.py", **common)
        results.append(rounds.compare(path, ours, [peer], args))
    rounds.write_json(results, args)


if __name__ == "__main__":
    main()
