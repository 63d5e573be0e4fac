"""The benchmarks are scripts beside the package: their modules are found through their folder."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # at the end: some have names of modules elsewhere

if not BENCHMARKS.is_dir():  # the tests of an installed wheel, away from the source tree
    collect_ignore_glob = ["test_*.py"]
