"""Continuous batching: what a request gives does not depend on its company (contract D2)."""

from __future__ import annotations

import random

import pytest
from engine_drive import (
    EOS,
    NUM_VOCAB,
    TOKEN_BYTES,
    Request,
    finish_all,
    group_lists,
    random_request,
    run_alone,
    run_random_schedule,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslm._native import Engine, SamplingParams, testing
from pyslm.errors import ContextLengthError


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    groups=group_lists,
    max_sequences=st.integers(1, 12),
    prefill_chunk=st.integers(1, 40),
    max_batch_rows=st.integers(1, 40),
)
def test_every_request_gives_what_it_gives_alone(
    seed: int,
    groups: list[tuple[int, int, int]],
    max_sequences: int,
    prefill_chunk: int,
    max_batch_rows: int,
) -> None:
    runner = testing.TestRunner(
        num_vocab=NUM_VOCAB, context_length=480, max_batch_rows=max_batch_rows, groups=groups
    )
    engine = Engine(runner, max_sequences, prefill_chunk, TOKEN_BYTES, [EOS])
    run_random_schedule(random.Random(seed), runner, engine, groups)


def test_preemption_happens_and_changes_nothing() -> None:
    rng = random.Random(4)
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=200, groups=[(0, 30, 4)])
    engine = Engine(runner, 16, 64, TOKEN_BYTES, [])
    requests = [
        Request(
            engine,
            [rng.randrange(NUM_VOCAB) for _ in range(8)],
            SamplingParams(max_tokens=90, seed=i, ignore_eos=True),
        )
        for i in range(10)
    ]
    order: list[int] = []
    while engine.step():
        for request in requests:
            if request.finish is None:
                request.poll()
                if request.finish:
                    order.append(request.id)
    for request in requests:
        request.poll()
        assert request.tokens == run_alone(runner, request.prompt, request.params)[0]
    assert engine.stats().num_preemptions > 5
    assert order == sorted(order)  # the oldest never yields, so it finishes first
    assert engine.stats().free_blocks == [30]


def test_penalties_see_prompt_and_output_under_preemption() -> None:
    params = SamplingParams(
        max_tokens=60, seed=3, repetition_penalty=1.4, presence_penalty=0.5, frequency_penalty=0.3,
        penalty_last_n=30, ignore_eos=True,
    )  # fmt: skip
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, groups=[(0, 24, 4)])
    engine = Engine(runner, 8, 16, TOKEN_BYTES, [])
    requests = [Request(engine, [i + 1] * 5, params) for i in range(8)]
    finish_all(engine, requests)
    assert engine.stats().num_preemptions > 0
    for request in requests:
        assert request.tokens == run_alone(runner, request.prompt, params)[0]


def test_thousands_of_aborts_leak_nothing() -> None:
    rng = random.Random(11)
    groups = [(0, 40, 4), (6, 25, 4)]
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=100, groups=groups)
    engine = Engine(runner, 8, 16, TOKEN_BYTES, [EOS])
    live: list[int] = []
    num_aborted = 0
    for _ in range(3000):
        live.append(engine.add(*random_request(rng, 99)))
        if rng.random() < 0.6:
            engine.step()
        if len(live) > 6:
            num_aborted += engine.abort(live.pop(rng.randrange(len(live))))
    for request in live:
        engine.abort(request)
    assert num_aborted > 1000
    assert engine.step() == 0
    assert engine.stats().free_blocks == [40, 25]


def test_long_prompt_does_not_starve_short_ones() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=8000, groups=[(0, 4000, 4)])
    engine = Engine(runner, 8, 32, TOKEN_BYTES, [])
    long = Request(engine, [1] * 4000, SamplingParams(max_tokens=1))
    engine.step()
    shorts = [Request(engine, [2] * 20, SamplingParams(max_tokens=3)) for _ in range(3)]
    steps = 0
    while any(short.finish is None for short in shorts):
        engine.step()
        steps += 1
        for short in shorts:
            short.poll()
        long.poll()
        assert steps <= 6  # 20 rows at 32 / 4 a step take 3 steps; then 2 decodes
    assert long.finish is None
    finish_all(engine, [long])


def test_decodes_go_on_while_prompts_compute() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=8000, groups=[(0, 4000, 4)])
    engine = Engine(runner, 8, 16, TOKEN_BYTES, [])
    decoding = Request(engine, [3], SamplingParams(max_tokens=50))
    engine.step()
    prompt = Request(engine, [1] * 700, SamplingParams(max_tokens=1))
    for step in range(40):
        engine.step()
        decoding.poll()
        assert len(decoding.tokens) == step + 2
    prompt.poll()
    assert prompt.tokens == []
    finish_all(engine, [decoding, prompt])


def test_prompts_wait_for_free_blocks_rather_than_preempt() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, groups=[(0, 20, 4)])
    engine = Engine(runner, 8, 8, TOKEN_BYTES, [])
    first = Request(engine, [1] * 40, SamplingParams(max_tokens=4, ignore_eos=True))
    second = Request(engine, [2] * 60, SamplingParams(max_tokens=4, ignore_eos=True))
    third = Request(engine, [3] * 4, SamplingParams(max_tokens=4))
    engine.step()
    assert engine.stats().num_running == 1
    assert engine.stats().num_waiting == 2  # first come, first served: the third waits as well
    finish_all(engine, [first, second, third])
    assert engine.stats().num_preemptions == 0


@given(st.lists(st.integers(1, 1000), max_size=20), st.integers(1, 600))
def test_fair_shares(owed: list[int], budget: int) -> None:
    shares = testing.fair_shares(owed, budget)
    assert len(shares) == len(owed)
    assert sum(shares) == min(budget, sum(owed))
    for mine, claim in zip(shares, owed, strict=True):
        assert 0 <= mine <= claim
        # Max-min: who got less than it owes got no less than anyone else, but for rounding.
        if mine < claim:
            assert mine >= max(shares) - 1
            assert mine >= budget // len(owed)


def test_request_larger_than_the_pool_is_refused_with_numbers() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=1000, groups=[(0, 10, 4)])
    engine = Engine(runner, 4, 16, TOKEN_BYTES, [])
    # 41 tokens of which the last is chosen and never computed: exactly 10 blocks.
    fits = Request(engine, [1] * 21, SamplingParams(max_tokens=20))
    with pytest.raises(ContextLengthError, match=r"41 tokens.* 11 cache blocks.* has 10\b"):
        engine.add([1] * 21, SamplingParams(max_tokens=21))
    finish_all(engine, [fits])
    assert len(fits.tokens) == 20


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 12), st.sampled_from([1, 2, 4, 8]))
def test_windowed_pool_holds_requests_longer_than_itself(
    window: int, chunk: int, block_tokens: int
) -> None:
    prompt, params = [5, 6, 7] * 20, SamplingParams(max_tokens=70, seed=1, ignore_eos=True)
    # A step sees its rows and the window - 1 tokens before them, at any offset within blocks.
    touched = window - 1 + chunk
    num_blocks = max(len(range(-first, touched, block_tokens)) for first in range(block_tokens))

    def engine_with(num_blocks: int) -> tuple[testing.TestRunner, Engine]:
        groups = [(window, num_blocks, block_tokens)]
        runner = testing.TestRunner(num_vocab=NUM_VOCAB, groups=groups)
        return runner, Engine(runner, 4, chunk, TOKEN_BYTES, [])

    runner, engine = engine_with(num_blocks)
    requests = [Request(engine, prompt, params) for _ in range(2)]
    finish_all(engine, requests)
    for request in requests:
        assert request.tokens == run_alone(runner, prompt, params)[0]
    assert engine.stats().free_blocks == [num_blocks]
    if num_blocks > 1:
        with pytest.raises(ContextLengthError, match=f"{num_blocks} cache blocks"):
            engine_with(num_blocks - 1)[1].add(prompt, params)
