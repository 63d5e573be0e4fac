"""Shared prefixes: found, shared, evicted, never mixed up; and nothing changes for anyone.

Contract D1.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from engine_drive import EOS, NUM_VOCAB, TOKEN_BYTES, Request, finish_all, run_alone
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslm._native import Engine, SamplingParams, testing
from pyslm.errors import PrefixCacheError, QueueFullError

Groups = list[tuple[int, int, int]]


def make(groups: Groups, max_sequences: int = 8, chunk: int = 64, **settings: object) -> Engine:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=4000, groups=groups)
    return Engine(runner, max_sequences, chunk, TOKEN_BYTES, [EOS], **settings)  # type: ignore[arg-type]


def run(engine: Engine, prompt: Sequence[int], max_tokens: int = 1, **fields: object) -> Request:
    params = SamplingParams(max_tokens=max_tokens, seed=5, ignore_eos=True, **fields)
    request = Request(engine, list(prompt), params)
    finish_all(engine, [request])
    engine.verify()
    return request


def tokens(n: int, seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(NUM_VOCAB) for _ in range(n)]


@pytest.mark.parametrize(
    ("first", "second", "cached"),
    [
        (tokens(40), tokens(40), 36),  # of 10 blocks the last: its last token is computed
        (tokens(41), tokens(41), 40),
        (tokens(40), [*tokens(40), 1], 40),
        (tokens(40), tokens(39), 36),
        (tokens(40), [*tokens(21), *tokens(30, 1)], 20),
        (tokens(3), tokens(3), 0),
        (tokens(40), [(tokens(40)[0] + 1) % NUM_VOCAB, *tokens(40)[1:]], 0),
        (tokens(40), tokens(40)[4:], 0),
        ([1] * 40, [1] * 20, 16),
    ],
)
def test_whole_blocks_of_equal_prefixes_hit(
    first: list[int], second: list[int], cached: int
) -> None:
    engine = make([(0, 100, 4)])
    assert run(engine, first).last.cached_tokens == 0
    assert run(engine, second).last.cached_tokens == cached
    assert engine.stats().cached_tokens == cached
    assert engine.stats().prompt_tokens == len(first) + len(second)


def test_output_of_one_request_is_the_prefix_of_the_next() -> None:
    engine = make([(0, 100, 4)])
    turn = run(engine, tokens(10), max_tokens=20)
    again = run(engine, [*turn.prompt, *turn.tokens, 7])
    assert again.last.cached_tokens == 28  # 29 were computed: the last token was only chosen


def test_salts_do_not_share() -> None:
    engine = make([(0, 100, 4)])
    assert run(engine, tokens(40), cache_salt="a").last.cached_tokens == 0
    assert run(engine, tokens(40), cache_salt="b").last.cached_tokens == 0
    assert run(engine, tokens(40)).last.cached_tokens == 0
    assert run(engine, tokens(40), cache_salt="a").last.cached_tokens == 36


def test_without_prefix_caching_nothing_hits() -> None:
    engine = make([(0, 100, 4)], prefix_caching=False)
    for _ in range(2):
        assert run(engine, tokens(40)).last.cached_tokens == 0
    assert engine.stats().cached_blocks == [0]


def test_least_recently_used_prefix_goes_first_and_from_its_end() -> None:
    engine = make([(0, 20, 4)])
    a, b, c = tokens(33, 1), tokens(33, 2), tokens(25, 3)
    for prompt in (a, b, a):  # 8 blocks each are kept, of 20
        run(engine, prompt)
    run(engine, c)  # takes 7: the 4 left over and the end of b
    assert run(engine, a).last.cached_tokens == 32
    assert run(engine, b).last.cached_tokens == 20
    assert engine.stats().free_blocks == [20]


@pytest.mark.parametrize(("window", "cached"), [(1, 32), (4, 32), (5, 32), (9, 32), (33, 32)])
def test_window_needs_only_the_blocks_that_it_sees(window: int, cached: int) -> None:
    """The window's own pool holds far less than the prompt."""
    blocks = -(-(window - 1 + 8) // 4) + 1
    engine = make([(0, 100, 4), (window, blocks, 4)], max_sequences=1, chunk=8)
    prompt = tokens(36)
    run(engine, prompt)
    assert run(engine, prompt).last.cached_tokens == cached
    run(engine, tokens(40, 9))  # evicts the window's blocks, not the others
    again = run(engine, prompt)
    assert again.last.cached_tokens <= cached
    assert again.tokens == run_alone(testing.TestRunner(
        num_vocab=NUM_VOCAB, context_length=4000, groups=[(0, 100, 4), (window, blocks, 4)]
    ), prompt, again.params)[0]  # fmt: skip


def test_equal_prompts_at_once_are_computed_once() -> None:
    engine = make([(0, 400, 4)], max_sequences=10, chunk=16)
    params = SamplingParams(max_tokens=1)
    requests = [Request(engine, [*tokens(200), i], params) for i in range(8)]
    steps = 0
    while engine.step():
        engine.verify()
        steps += 1
    assert steps <= 200 // 16 + 2  # the work of one
    for request in requests:
        request.poll()
    assert [request.last.cached_tokens for request in requests] == [0] + [200] * 7


def test_waiting_for_a_leader_ends_with_it() -> None:
    engine = make([(0, 400, 4)], max_sequences=10, chunk=16)
    params = SamplingParams(max_tokens=1)
    first = Request(engine, tokens(200), params)
    second = Request(engine, tokens(200), params)
    for _ in range(3):
        engine.step()
    engine.abort(first.id)
    finish_all(engine, [second])
    assert 0 < second.last.cached_tokens <= 48
    assert engine.stats().free_blocks == [400]


def test_preempted_requests_resume_from_the_cache() -> None:
    engine = make([(0, 60, 4)], max_sequences=16, chunk=64)
    params = SamplingParams(max_tokens=60, seed=1, ignore_eos=True)
    requests = [Request(engine, tokens(20, i), params) for i in range(6)]
    computed = 0
    finish_all(engine, requests)
    stats = engine.stats()
    assert stats.num_preemptions > 0
    assert stats.cached_tokens == computed == 0  # a prompt's own blocks are no hit of others


def test_lower_priority_gives_way() -> None:
    engine = make([(0, 100, 4)], max_sequences=2, chunk=64)
    slow = SamplingParams(max_tokens=40, ignore_eos=True, priority=1)
    background = [Request(engine, tokens(20, i), slow) for i in range(3)]
    engine.step()
    urgent = Request(
        engine, tokens(20, 9), SamplingParams(max_tokens=5, ignore_eos=True, priority=-1)
    )
    for _ in range(5):
        engine.step()
        engine.verify()
    urgent.poll()
    assert urgent.finish == "length"
    assert engine.stats().num_preemptions == 1
    finish_all(engine, background)
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=4000, groups=[(0, 100, 4)])
    for request in background:
        assert request.tokens == run_alone(runner, request.prompt, slow)[0]


def test_equal_priorities_run_in_order_of_arrival() -> None:
    engine = make([(0, 100, 4)], max_sequences=1)
    requests = [
        Request(engine, tokens(5, i), SamplingParams(max_tokens=2, ignore_eos=True, priority=p))
        for i, p in enumerate([0, 0, 5, 0, -3])
    ]
    ended: list[int] = []
    while engine.step():
        for i, request in enumerate(requests):
            request.poll()
            if request.finish and i not in ended:
                ended.append(i)
    assert ended == [4, 0, 1, 3]  # and then the third


def test_full_queue_is_refused_with_numbers_until_one_has_ended() -> None:
    engine = make([(0, 100, 4)], max_sequences=2, max_queued=3)
    requests = [Request(engine, tokens(5, i), SamplingParams(max_tokens=2)) for i in range(5)]
    with pytest.raises(QueueFullError, match=r"5 requests.*2 that run and 3 that wait"):
        engine.add(tokens(5), SamplingParams())
    engine.abort(requests.pop().id)
    requests.append(Request(engine, tokens(5), SamplingParams(max_tokens=2)))
    finish_all(engine, requests)


def test_idle_memory_goes_back_but_for_prefixes_and_trim_takes_those() -> None:
    engine = make([(0, 100, 4)], prefix_caching=True)
    run(engine, tokens(42), max_tokens=10)
    stats = engine.stats()
    assert stats.resident_blocks == stats.cached_blocks == [12]  # of 51 tokens, whole blocks
    engine.trim()
    engine.verify()
    stats = engine.stats()
    assert stats.resident_blocks == stats.cached_blocks == [0]
    assert stats.free_blocks == [100]
    assert run(engine, tokens(42)).last.cached_tokens == 0  # the runner overwrote what went back


def test_trim_leaves_what_runs_alone() -> None:
    engine = make([(0, 100, 4), (6, 30, 4)])
    params = SamplingParams(max_tokens=40, seed=2, ignore_eos=True)
    requests = [Request(engine, [*tokens(30), i], params) for i in range(3)]
    while engine.step():
        engine.trim()
        engine.verify()
    finish_all(engine, requests)
    runner = testing.TestRunner(
        num_vocab=NUM_VOCAB, context_length=4000, groups=[(0, 100, 4), (6, 30, 4)]
    )
    for request in requests:
        assert request.tokens == run_alone(runner, request.prompt, params)[0]


def saved(engine: Engine) -> bytes:
    pieces: list[bytes] = []
    engine.save_prefixes(pieces.append)
    return b"".join(pieces)


def load(engine: Engine, data: bytes) -> int:
    at = 0

    def read(n: int) -> bytes:
        nonlocal at
        at += n
        return data[at - n : at]

    return engine.load_prefixes(read)


@pytest.mark.parametrize("groups", [[(0, 60, 4)], [(0, 60, 8), (5, 40, 4)]])
def test_saved_prefixes_hit_in_another_engine(groups: Groups) -> None:
    engine = make(groups)
    prompts = [tokens(41), [*tokens(16), *tokens(30, 1)], tokens(24, 2)]
    results = [run(engine, prompt, max_tokens=9) for prompt in prompts]
    run(engine, tokens(41, 3), cache_salt="secret")
    other = make(groups)
    data = saved(engine)
    assert load(other, data) > 20
    other.verify()
    assert other.stats().free_blocks == [blocks for _, blocks, _ in groups]
    for prompt, result in zip(prompts, results, strict=True):
        again = run(other, prompt, max_tokens=9)
        assert again.last.cached_tokens >= (len(prompt) - 1) // 8 * 8
        assert again.tokens == result.tokens
    assert run(other, tokens(41, 3)).last.cached_tokens == 0  # what has a salt is not saved


def test_loading_more_than_there_is_room_for_keeps_beginnings() -> None:
    engine = make([(0, 60, 4)])
    prompt = tokens(101)
    expected = run(engine, prompt, max_tokens=5).tokens
    small = make([(0, 28, 4)])
    assert load(small, saved(engine)) <= 28
    small.verify()
    again = run(small, prompt, max_tokens=5)
    assert again.last.cached_tokens > 80
    assert again.tokens == expected


def test_damaged_streams_are_refused_and_leak_nothing() -> None:
    engine = make([(0, 60, 4)])
    run(engine, tokens(41))
    data = saved(engine)
    other = make([(0, 60, 4)])
    for cut in range(0, len(data) - 1, 37):
        with pytest.raises(PrefixCacheError):
            load(other, data[:cut])
        other.verify()
        assert other.stats().free_blocks == [60]
    with pytest.raises(PrefixCacheError, match="shape"):
        load(make([(0, 60, 8)]), data)
    with pytest.raises(PrefixCacheError, match="parent 99"):
        load(other, data[:24] + (99).to_bytes(4, "little") + data[28:])
    other.verify()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    groups=st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 3, 8, 17]),  # window
            st.integers(16, 40),  # blocks
            st.sampled_from([1, 2, 4]),  # tokens of a block
        ),
        min_size=1,
        max_size=3,
    ),
    max_sequences=st.integers(1, 8),
    chunk=st.integers(1, 40),
)
def test_random_schedules_with_shared_prefixes(
    seed: int, groups: Groups, max_sequences: int, chunk: int
) -> None:
    simulate(random.Random(seed), groups, max_sequences, chunk, num_actions=80)


class Totals:
    """What a simulation has gone through."""

    preemptions = aborts = hits = requests = 0


def simulate(
    rng: random.Random, groups: Groups, max_sequences: int, chunk: int, num_actions: int
) -> Totals:
    """Requests that grow from a few conversations, with aborts, trims and reloads between steps."""
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=480, groups=groups)
    engine = Engine(runner, max_sequences, chunk, TOKEN_BYTES, [EOS])
    longest = min(blocks * block_tokens for _, blocks, block_tokens in groups)
    trunks = [tokens(longest, rng.randrange(2**30)) for _ in range(3)]
    live: list[Request] = []
    totals = Totals()

    def check(request: Request) -> None:
        expected, finish = run_alone(runner, request.prompt, request.params)
        if request.finish == "abort":
            assert request.tokens == expected[: len(request.tokens)]
            totals.aborts += 1
        else:
            assert (request.tokens, request.finish) == (expected, finish)
        totals.hits += request.last.cached_tokens
        assert request.last.cached_tokens < len(request.prompt)
        if rng.random() < 0.3:  # the conversation goes on
            trunks[rng.randrange(3)][: len(request.prompt + request.tokens)] = (
                request.prompt + request.tokens
            )

    for _ in range(num_actions):
        action = rng.random()
        if action < 0.35 and len(live) < 24:
            trunk = rng.choice(trunks)
            shared = rng.randint(0, longest - 2)
            prompt = [*trunk[:shared], rng.randrange(NUM_VOCAB)]
            params = SamplingParams(
                max_tokens=rng.randint(1, max(1, min(longest - len(prompt), longest // 3))),
                seed=rng.randrange(4),
                ignore_eos=rng.random() < 0.7,
                priority=rng.choice([0, 0, 0, 1, -1]),
                cache_salt=rng.choice(["", "", "s"]),
            )
            live.append(Request(engine, prompt, params))
            totals.requests += 1
        elif action < 0.42 and live:
            engine.abort(rng.choice(live).id)
        elif action < 0.43:
            engine.trim()
        elif action < 0.44:
            load(engine, saved(engine))
        else:
            engine.step()
        engine.verify()
        for request in live:
            request.poll()
        for request in [r for r in live if r.finish is not None]:
            live.remove(request)
            check(request)
    finish_all(engine, live)
    for request in live:
        check(request)
    engine.verify()
    stats = engine.stats()
    assert stats.free_blocks == [blocks for _, blocks, _ in groups]
    assert stats.num_running == stats.num_waiting == 0
    totals.preemptions = stats.num_preemptions
    engine.trim()
    assert engine.stats().cached_blocks == engine.stats().resident_blocks == [0] * len(groups)
    return totals


@pytest.mark.parametrize(
    "num_actions", [20_000, pytest.param(200_000, marks=pytest.mark.slow)], ids=["quick", "long"]
)
def test_tiny_budgets_force_preemption_and_eviction(num_actions: int) -> None:
    preemptions = aborts = hits = 0
    for seed, groups in enumerate([[(0, 24, 4)], [(0, 30, 2), (7, 14, 4)]]):
        totals = simulate(random.Random(seed), groups, 8, 16, num_actions // 2)
        preemptions += totals.preemptions
        aborts += totals.aborts
        hits += totals.hits
    assert preemptions > num_actions // 60
    assert aborts > num_actions // 40
    assert hits > num_actions // 2
