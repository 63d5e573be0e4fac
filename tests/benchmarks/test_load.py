"""What the serving benchmark measures, against figures worked out by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from load.drive import drive
from load.metrics import Record, goodput_limits, spread, summary
from load.trace import MIXES, Request, make_trace

from pyslm import _native


def test_times_of_one_request() -> None:
    record = Record(sent=1.0, prompt_tokens=7, events=[(1.5, 1), (1.75, 2), (2.5, 1)])
    assert record.output_tokens == 4
    assert record.ttft == 0.5
    assert record.e2el == 1.5
    assert record.tpot == pytest.approx(1.0 / 3)  # over the tokens after the first
    assert record.itl == [0.25, 0.75]  # between outputs, however many tokens they hold


def test_one_token_has_no_time_per_token_after_it() -> None:
    record = Record(sent=0.0, prompt_tokens=1, events=[(2.0, 1)])
    assert record.tpot is None
    assert record.itl == []
    assert record.e2el == record.ttft == 2.0


def test_spread_is_in_milliseconds() -> None:
    values = [i / 1000 for i in range(101)]  # 0 to 100 ms: a percentile is its own number
    assert spread(values[::-1]) == pytest.approx({"mean": 50.0, "p50": 50.0, "p99": 99.0})
    assert spread([0.003]) == pytest.approx({"mean": 3.0, "p50": 3.0, "p99": 3.0})


def two_records() -> list[Record]:
    """TTFT 100 and 400 ms, TPOT 100 and 50 ms, from 1.0 to 3.0 s."""
    quick = Record(1.0, 10, [(1.1, 1), (1.2, 1)])
    slow = Record(2.0, 30, [(2.4, 1), *((2.4 + 0.05 * i, 1) for i in range(1, 13))])
    return [quick, slow]


def test_throughput_of_a_run() -> None:
    figures = summary(two_records(), {})
    assert figures["requests"] == 2
    assert figures["seconds"] == pytest.approx(2.0)
    assert figures["requests_per_second"] == pytest.approx(1.0)
    assert figures["output_tokens_per_second"] == pytest.approx(15 / 2)
    assert figures["total_tokens_per_second"] == pytest.approx((15 + 40) / 2)
    assert figures["ttft_ms"]["mean"] == pytest.approx(250.0)
    assert figures["tpot_ms"]["mean"] == pytest.approx(75.0)
    # Pooled over requests: one gap of 100 ms and twelve of 50 ms.
    assert figures["itl_ms"]["mean"] == pytest.approx(700 / 13)
    assert figures["itl_ms"]["p50"] == pytest.approx(50.0)
    assert figures["e2el_ms"]["mean"] == pytest.approx(600.0)


@pytest.mark.parametrize(
    ("limits", "good"),
    [
        ([], 2),
        (["ttft:500", "tpot:101"], 2),
        (["ttft:399"], 1),
        (["tpot:60"], 1),
        (["ttft:399", "tpot:60"], 0),  # each keeps one of the limits
        (["e2el:201"], 1),
    ],
)
def test_goodput_counts_requests_within_all_limits(limits: list[str], good: int) -> None:
    figures = summary(two_records(), goodput_limits(limits))
    assert figures["goodput_per_second"] == pytest.approx(good / 2)


@pytest.mark.parametrize("text", ["itl:5", "ttft", "ttft:", "ttft:fast", "tpot:-1", "e2el:nan"])
def test_limits_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}'; allowed: ttft:MS"):
        goodput_limits(["ttft:10", text])


def test_arrivals_are_poisson() -> None:
    trace = make_trace("chat", 4000, rate=8.0, vocab=100, seed=1)
    gaps = np.diff([0.0, *(request.arrival for request in trace)])
    assert (gaps >= 0).all()
    # The mean of 4000 exponential gaps is within 5 % of the true one in 998 of 1000 traces.
    assert gaps.mean() == pytest.approx(1 / 8, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
    assert (gaps > 1 / 8).mean() == pytest.approx(np.exp(-1), abs=0.03)


@pytest.mark.parametrize("mix", MIXES)
def test_lengths_are_those_of_the_mix(mix: str) -> None:
    trace = make_trace(mix, 400, rate=None, vocab=50, seed=2)
    for lengths, mean in zip(
        ([len(r.prompt) for r in trace], [r.output_tokens for r in trace]), MIXES[mix], strict=True
    ):
        assert 0.75 * mean - 1 <= min(lengths)
        assert max(lengths) <= 1.25 * mean
        assert np.mean(lengths) == pytest.approx(mean, rel=0.05)
    assert {request.arrival for request in trace} == {0.0}
    assert all(0 <= token < 50 for request in trace for token in request.prompt)


def test_a_seed_is_a_trace() -> None:
    assert make_trace("chat", 5, rate=1.0, vocab=99, seed=3) == make_trace(
        "chat", 5, rate=1.0, vocab=99, seed=3
    )
    assert make_trace("chat", 5, rate=1.0, vocab=99, seed=3) != make_trace(
        "chat", 5, rate=1.0, vocab=99, seed=4
    )


class Watched:
    """An engine whose number of unfinished requests is noted at every step."""

    def __init__(self, **runner: int) -> None:
        self._runner = _native.testing.TestRunner(
            context_length=256, groups=[(0, 512, 16)], **runner
        )
        self._engine = _native.Engine(self._runner, 16, 64, [b"x"] * 64, [])
        self.unfinished: list[int] = []

    def step(self) -> int:
        stats = self._engine.stats()
        self.unfinished.append(stats.num_running + stats.num_waiting)
        return self._engine.step()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def requests(count: int, arrivals: float = 0.0) -> list[Request]:
    return [Request(i * arrivals, [1 + i % 40, 2, 3], 4 + i % 5) for i in range(count)]


def test_a_closed_loop_keeps_so_many_running() -> None:
    engine, seen = Watched(), list[int]()
    records = drive(engine, requests(20), concurrency=3, progress=seen.append)  # type: ignore[arg-type]
    assert seen == list(range(1, 21))
    assert sorted(r.output_tokens for r in records) == sorted(4 + i % 5 for i in range(20))
    assert {r.prompt_tokens for r in records} == {3}
    # Never more, and as many until the last one has begun, when 17 have ended.
    last_full = len(engine.unfinished) - engine.unfinished[::-1].index(3)
    assert set(engine.unfinished[:last_full]) == {3}
    assert max(engine.unfinished[last_full:]) < 3
    last_begun = max(record.sent for record in records)
    assert sum(r.events[-1][0] <= last_begun for r in records) == 17


def test_open_arrivals_count_from_when_they_were_due() -> None:
    """Steps of 20 ms and arrivals every 10 ms: the loop comes late to about every other one."""
    engine = Watched(step_microseconds=20_000)
    records = drive(engine, requests(8, arrivals=0.01))  # type: ignore[arg-type]
    assert sorted(r.sent for r in records) == pytest.approx([i * 0.01 for i in range(8)])
    for record in records:
        assert record.ttft >= 0.02  # no token without a step that began after it was due
        assert all(a < b for (a, _), (b, _) in itertools.pairwise(record.events))
    assert max(engine.unfinished) > 1  # an open loop waits for nobody
