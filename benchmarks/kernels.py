"""Matrix kernels against the machine's own limits, measured in the same run.

    python benchmarks/kernels.py [--tiers avx512vnni,avx2] [--formats Q4_0,Q4_K] [--threads 1]

For each tier and format: one row (decode) in GB/s of packed weights and its share of the measured
read bandwidth; 16 and 480 rows in G operations/s and their share of the tier's measured peak (int8
dot products for quantized weights, fused multiply-adds for float ones). One operation is a multiply
or an add. Medians over --repeats.
"""

from __future__ import annotations

import argparse
import statistics

from pyslm import _native

FLOAT_FORMATS = ("F32", "F16", "BF16")


def report(tier: str, formats: list[str], args: argparse.Namespace) -> None:
    """Prints one tier's table."""
    bandwidth = _native.read_bandwidth(args.threads)
    peaks = {
        int8: _native.arithmetic_peak(tier, int8=int8, threads=args.threads)
        for int8 in (True, False)
    }
    print(
        f"\n{tier}, {args.threads} threads: reads {bandwidth / 1e9:.1f} GB/s, "
        f"int8 {peaks[True] / 1e9:.0f} Gop/s, float {peaks[False] / 1e9:.0f} Gop/s"
    )
    print(f"{'format':8} {'1 row':>20} {'16 rows':>20} {'480 rows':>20}")
    for name in formats:
        # Few rows must stream from memory: a weight far larger than the caches.
        cells = []
        for m, rows in ((1, args.rows * 32), (16, args.rows * 32), (480, args.rows)):
            times = _native.time_matmul(
                tier, name, rows, args.cols, m, args.threads, args.repeats if m < 480 else 3
            )
            seconds = statistics.median(times)
            if m == 1:
                speed = _native.packed_bytes(name, rows, args.cols) / seconds
                cells.append(f"{speed / 1e9:8.1f} GB/s {speed / bandwidth:5.0%}")
            else:
                speed = 2.0 * m * rows * args.cols / seconds
                share = speed / peaks[name not in FLOAT_FORMATS]
                cells.append(f"{speed / 1e9:7.0f} Gop/s {share:5.0%}")
        print(f"{name:8} " + " ".join(f"{cell:>20}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    info = _native.isa_info()
    formats = list(_native.weight_formats())
    parser.add_argument("--tiers", default=info["active"], help=f"of {','.join(info['supported'])}")
    parser.add_argument("--formats", default=",".join(formats))
    parser.add_argument("--threads", type=int, default=_native.default_num_threads())
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--cols", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    for tier in args.tiers.split(","):
        report(tier, args.formats.split(","), args)


if __name__ == "__main__":
    main()
