"""The benchmarks are scripts beside the package: their modules are found through their folder."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # at the end: some have names of modules elsewhere
