"""The figures of benchmarks/serving.py, against values worked out by hand and NumPy's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not here")


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_latencies_of_one_request() -> None:
    from load.metrics import Record

    record = Record(sent=1.0, prompt_tokens=7, events=[(1.5, 1), (1.7, 2), (2.5, 1)])
    assert record.output_tokens == 4
    assert record.ttft == pytest.approx(0.5)
    assert record.e2el == pytest.approx(1.5)
    assert record.tpot == pytest.approx(1.0 / 3)  # (1.5 - 0.5) over the three after the first
    assert record.itl == pytest.approx([0.2, 0.8])
    assert Record(0.0, 1, [(0.3, 1)]).tpot is None


def test_summary_counts_what_came_in_time() -> None:
    from load.metrics import Record, summary

    fast = Record(0.0, 10, [(0.1, 1), (0.3, 2)])
    slow = Record(0.0, 30, [(0.9, 1), (2.0, 4)])
    figures = summary([fast, slow], {"ttft": 200.0})
    assert figures["seconds"] == pytest.approx(2.0)
    assert figures["output_tokens_per_second"] == pytest.approx(8 / 2)
    assert figures["total_tokens_per_second"] == pytest.approx(48 / 2)
    assert figures["goodput_per_second"] == pytest.approx(1 / 2)
    assert figures["ttft_ms"]["mean"] == pytest.approx(500)
    assert figures["e2el_ms"]["p99"] == pytest.approx(np.percentile([300, 2000], 99))


def test_arrivals_are_poisson_and_seeded() -> None:
    from load.trace import MIXES, make_trace

    trace = make_trace("chat", 4000, rate=50.0, vocab=100, seed=3)
    gaps = np.diff([request.arrival for request in trace])
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.06)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.08)  # as of an exponential
    prompt, output = MIXES["chat"]
    lengths = [len(request.prompt) for request in trace]
    assert np.mean(lengths) == pytest.approx(prompt, rel=0.02)
    assert max(lengths) <= 1.25 * prompt
    assert np.mean([request.output_tokens for request in trace]) == pytest.approx(output, rel=0.03)
    assert make_trace("chat", 5, rate=50.0, vocab=100, seed=3) == make_trace(
        "chat", 5, rate=50.0, vocab=100, seed=3
    )


@pytest.mark.parametrize("how", [["--concurrency", "4"], ["--rate", "200"]])
def test_a_run_prints_one_json_object(shared: Path, how: list[str]) -> None:
    model = shared / "models" / "stories260K.gguf"
    command = [sys.executable, str(BENCHMARKS / "serving.py"), "load", str(model)]
    command += ["--mix", "write", "--requests", "8", "--json", *how]
    # The script finds its neighbours by its own folder, which PYTHONSAFEPATH leaves out.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["requests"] == 8
    assert figures["output_tokens_per_second"] > 0
    assert 0 < figures["ttft_ms"]["p50"] <= figures["e2el_ms"]["p50"]
