"""What paging costs: decode attention over scattered blocks against the same blocks in a row.

    python benchmarks/attention.py [--heads 32 --kv-heads 8 --dim 64] [--threads 2]

One layer, each kind of cache; `ratio` is the median over rounds of scattered / in a row, GB/s what
the keys and values of a step are read at.
"""

from __future__ import annotations

import argparse
import statistics

from pyslm import _native

WORK = ((8192, 1), (2048, 4), (1024, 16))  # tokens, sequences
BYTES = {"f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=8)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--threads", type=int, default=_native.default_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    for kv_type, size in BYTES.items():
        for tokens, sequences in WORK:

            def fastest(
                *, scattered: bool, kv: str = kv_type, n: int = tokens, s: int = sequences
            ) -> float:
                shape = (args.heads, args.kv_heads, args.dim)
                return min(_native.time_attention(kv, n, s, *shape, scattered, args.threads, 30))

            pairs = [
                (fastest(scattered=False), fastest(scattered=True)) for _ in range(args.rounds)
            ]
            seconds = statistics.median(b for _, b in pairs)
            read = 2 * tokens * sequences * args.kv_heads * args.dim * size
            ratio = statistics.median(b / a for a, b in pairs)
            print(
                f"{kv_type:5} {sequences:3} x {tokens:5} tokens {seconds * 1e6:8.0f} us"
                f" {read / seconds / 1e9:6.1f} GB/s   ratio {ratio:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
