"""Drafts change how fast tokens come, never which (contract D5)."""

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
    run_alone,
    run_random_schedule,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslm._native import Engine, SamplingParams, testing
from pyslm.errors import InvalidRequestError

LONG = {"num_vocab": NUM_VOCAB, "context_length": 4000}


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    groups=group_lists,
    draft_groups=group_lists,
    max_sequences=st.integers(1, 12),
    prefill_chunk=st.integers(1, 40),
    max_batch_rows=st.integers(1, 40),
    max_draft=st.integers(1, 9),
    adaptive=st.booleans(),
    deviation=st.sampled_from([None, 0.0, 0.2, 1.0]),
)
def test_every_request_gives_what_it_gives_alone(
    seed: int,
    groups: list[tuple[int, int, int]],
    draft_groups: list[tuple[int, int, int]],
    max_sequences: int,
    prefill_chunk: int,
    max_batch_rows: int,
    max_draft: int,
    adaptive: bool,
    deviation: float | None,
) -> None:
    runner = testing.TestRunner(
        num_vocab=NUM_VOCAB, context_length=480, max_batch_rows=max_batch_rows, groups=groups
    )
    engine = Engine(
        runner, max_sequences, prefill_chunk, TOKEN_BYTES, [EOS], max_draft=max_draft,
        adaptive_draft=adaptive,
    )  # fmt: skip
    if deviation is not None:
        # Of the same windows it sees what the target sees, else something else.
        same = [(window, blocks // 2 + 1, size) for window, blocks, size in groups]
        draft = testing.TestRunner(
            num_vocab=NUM_VOCAB,
            context_length=300,
            groups=draft_groups if deviation == 1.0 else same,
            deviation=deviation % 1.0,
        )
        engine.use_draft_model(draft)
    run_random_schedule(random.Random(seed), runner, engine, groups)


def repeating(length: int, period: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    once = [rng.randrange(1, NUM_VOCAB) for _ in range(period)]
    return (once * (length // period + 1))[:length]


def test_what_repeats_is_looked_up() -> None:
    """A forced output that goes round in circles takes one step for many tokens."""
    runner = testing.TestRunner(**LONG, groups=[(0, 400, 8)])
    engine = Engine(runner, 4, 64, TOKEN_BYTES, [], max_draft=7, adaptive_draft=False)
    forced = repeating(400, 40, 1)
    request = Request(engine, [5, 6, 7], SamplingParams(max_tokens=400, forced_tokens=forced))
    finish_all(engine, [request])
    assert request.tokens == forced
    stats = engine.stats()
    # The first circle has nothing to look at; from then on eight tokens to a step.
    assert stats.num_steps <= 40 + 4 + 360 / 8 + 8
    assert stats.accepted_tokens >= 0.9 * stats.draft_tokens
    assert stats.accepted_tokens == stats.output_tokens - stats.num_steps


@pytest.mark.parametrize(("deviation", "least"), [(0.0, 1.0), (0.3, 0.2)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_model_is_right_as_often_as_it_agrees(
    deviation: float, least: float, temperature: float
) -> None:
    runner = testing.TestRunner(**LONG, groups=[(0, 400, 8)])
    draft = testing.TestRunner(**LONG, groups=[(0, 400, 8)], deviation=deviation)
    engine = Engine(runner, 4, 64, TOKEN_BYTES, [], max_draft=4, adaptive_draft=False)
    engine.use_draft_model(draft)
    params = [
        SamplingParams(max_tokens=200, temperature=temperature, seed=seed, ignore_eos=True)
        for seed in range(3)
    ]
    requests = [Request(engine, [9, seed, 3], p) for seed, p in enumerate(params)]
    finish_all(engine, requests)
    for request in requests:
        assert request.tokens == run_alone(runner, request.prompt, request.params)[0]
    stats = engine.stats()
    share = stats.accepted_tokens / stats.draft_tokens
    assert least <= share <= 1.0
    if deviation:  # four in a row are right less often than one
        assert share < 0.9
    else:
        assert stats.num_steps <= 200 / 5 + 5


def test_a_long_prompt_reaches_the_draft_model_in_pieces() -> None:
    runner = testing.TestRunner(**LONG, groups=[(0, 400, 8)])
    draft = testing.TestRunner(**LONG, groups=[(0, 400, 8)], max_batch_rows=16)
    engine = Engine(runner, 4, 64, TOKEN_BYTES, [], max_draft=4, adaptive_draft=False)
    engine.use_draft_model(draft)
    rng = random.Random(2)
    prompt = [rng.randrange(NUM_VOCAB) for _ in range(300)]
    request = Request(engine, prompt, SamplingParams(max_tokens=100, seed=4, ignore_eos=True))
    finish_all(engine, [request])
    assert request.tokens == run_alone(runner, prompt, request.params)[0]
    assert engine.stats().accepted_tokens > 60


def test_stops_cut_a_draft_short() -> None:
    runner = testing.TestRunner(**LONG, groups=[(0, 400, 8)])
    engine = Engine(runner, 4, 64, TOKEN_BYTES, [EOS], max_draft=8, adaptive_draft=False)
    circle = [11, 12, 13, 14, 15, 16]
    text = b"".join(TOKEN_BYTES[t] for t in circle)
    common = {"max_tokens": 100, "forced_tokens": circle * 17}
    at_token = Request(engine, circle * 3, SamplingParams(stop_token_ids=[14], **common))
    at_text = Request(engine, circle * 3, SamplingParams(stop=[text[4:] + text[:1]], **common))
    at_length = Request(engine, circle * 3, SamplingParams(**(common | {"max_tokens": 5})))
    ends = {"max_tokens": 100, "forced_tokens": [11, 12, EOS, 13, 14]}
    at_end = Request(engine, [11, 12, EOS, 13, 11, 12, EOS, 13], SamplingParams(**ends))
    finish_all(engine, [at_token, at_text, at_length, at_end])
    assert at_token.tokens == circle[:4]
    assert at_token.text == text[:3]
    assert at_text.text == text[:4]
    assert at_text.tokens == [*circle, circle[0]]
    assert at_length.tokens == circle[:5]
    assert at_end.tokens == [11, 12, EOS]
    assert at_end.finish == "stop"
    assert engine.stats().free_blocks == [400]


def test_drafts_leave_room_to_others() -> None:
    """With one block free, a draft that would need a second one is not checked."""
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=200, groups=[(0, 8, 4)])
    engine = Engine(runner, 4, 64, TOKEN_BYTES, [], max_draft=8, adaptive_draft=False)
    circle = [1, 2, 3, 4]
    forced = circle * 5
    requests = [
        Request(engine, circle * 2, SamplingParams(max_tokens=20, forced_tokens=forced))
        for _ in range(3)
    ]
    finish_all(engine, requests)
    assert all(request.tokens == forced for request in requests)
    assert engine.stats().free_blocks == [8]


def test_a_failing_draft_model_fails_the_step_and_nothing_is_lost() -> None:
    runner = testing.TestRunner(**LONG, groups=[(0, 400, 8)])
    draft = testing.TestRunner(**LONG, groups=[(0, 400, 8)], nan_token=7)
    engine = Engine(runner, 4, 64, TOKEN_BYTES, [], max_draft=3, adaptive_draft=False)
    engine.use_draft_model(draft)
    request = Request(engine, [7, 7, 7], SamplingParams(max_tokens=40, seed=1, ignore_eos=True))
    finish_all(engine, [request])  # NaN: the draft model just has no guess
    assert request.tokens == run_alone(runner, request.prompt, request.params)[0]


def test_draft_models_must_fit() -> None:
    runner = testing.TestRunner(**LONG)
    engine = Engine(runner, max_draft=3)
    with pytest.raises(InvalidRequestError, match=r"48.*|.*32 tokens.*48"):
        engine.use_draft_model(testing.TestRunner(num_vocab=32))
    with pytest.raises(InvalidRequestError, match="max_draft is 0"):
        Engine(runner).use_draft_model(testing.TestRunner(**LONG))
    with pytest.raises(InvalidRequestError, match="max_draft is -1"):
        Engine(runner, max_draft=-1)


@settings(max_examples=200)
@given(st.lists(st.integers(0, 3), max_size=60))
def test_suffix_matches_are_the_longest_of_the_latest(tokens: list[int]) -> None:
    """Against brute force, over the eight latest places of the last two tokens."""
    for end, (following, length) in enumerate(testing.suffix_matches(tokens)):
        text = tokens[: end + 1]
        places = [i for i in range(1, end) if text[i - 1 : i + 1] == text[-2:] and len(text) >= 2][
            -8:
        ]
        lengths = {}
        for place in places:
            n = 0
            while n < min(place + 1, 32) and text[place - n] == text[end - n]:
                n += 1
            lengths[place] = n
        if not places:
            assert length == 0
            continue
        assert length == max(lengths.values())
        assert following - 1 == max(p for p, n in lengths.items() if n == length)


def test_step_costs_rise_with_rows_and_pass_through_what_was_seen() -> None:
    rows = list(range(1, 300))
    unknown = testing.step_costs([], rows)
    assert unknown[0] == 1.0
    assert unknown == sorted(unknown)
    seen = testing.step_costs([(1, 2.0), (4, 3.0), (16, 6.0)] * 50, rows)
    assert seen == sorted(seen)
    assert seen[0] == pytest.approx(2.0)
    assert seen[3] == pytest.approx(3.0)
    assert seen[14] == pytest.approx(6.0, rel=0.1)
    assert 2.0 < seen[1] < 3.0 < seen[7] < 6.0 < seen[40]


def test_drafts_that_never_come_true_are_given_up() -> None:
    """Steps cost by their rows here: the engine sees it and stops guessing."""
    runner = testing.TestRunner(**LONG, groups=[(0, 2000, 8)])
    draft = testing.TestRunner(**LONG, groups=[(3, 2000, 8)])  # sees something else
    engine = Engine(runner, 4, 64, TOKEN_BYTES, [], max_draft=4)
    engine.use_draft_model(draft)
    request = Request(engine, [1, 2, 3], SamplingParams(max_tokens=3000, temperature=0))
    finish_all(engine, [request])
    stats = engine.stats()
    assert stats.draft_tokens < 0.2 * stats.output_tokens
