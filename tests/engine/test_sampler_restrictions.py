"""DRY, XTC, top-n-sigma, and what may not come next, against the NumPy reference and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engine_drive import EOS, NUM_VOCAB, TOKEN_BYTES, Request, finish_all
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sampling_reference import ReferenceSampler

from pyslm._native import Engine, SamplingParams, testing
from pyslm.errors import InvalidRequestError

WORDS = ["a", "b", "ab", "ba", "aab", "\n", ":", "a:", "é", "c*", "", "abc"]
PIECES = [word.encode() for word in WORDS]
VOCAB = len(PIECES)
EXACT_MARGIN = 1e-4

tokens = st.integers(0, VOCAB - 1)
logit_lists = st.lists(st.integers(-20, 20).map(lambda i: i / 4), min_size=VOCAB, max_size=VOCAB)
fields = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 0.5, 1.0, 2.0]),
        "top_k": st.integers(0, VOCAB),
        "min_p": st.sampled_from([0.0, 0.1]),
        "top_n_sigma": st.sampled_from([0.3, 1.0, 2.0]),
        "xtc_probability": st.sampled_from([0.0, 1.0]),
        "xtc_threshold": st.sampled_from([0.0, 0.07, 0.2, 0.45]),
        "dry_multiplier": st.sampled_from([0.0, 0.8, 3.0]),
        "dry_base": st.sampled_from([1.0, 1.75]),
        "dry_allowed_length": st.integers(1, 4),
        "dry_penalty_last_n": st.sampled_from([-1, 0, 3, 8]),
        "dry_sequence_breakers": st.lists(
            st.sampled_from(["\n", ":", "b", "bab", "a:"]), max_size=2
        ),
        "repetition_penalty": st.sampled_from([1.0, 1.3]),
        "allowed_token_ids": st.lists(tokens, max_size=8),
        "bad_token_ids": st.lists(st.lists(tokens, min_size=1, max_size=3), max_size=3),
        "bad_words": st.lists(st.sampled_from(["ab", "aba", "bab", "é", "\n:", "a"]), max_size=2),
        "min_tokens": st.integers(0, 12),
    },
)


@settings(max_examples=500, deadline=None)
@given(
    logit_lists,
    fields,
    st.lists(tokens, max_size=24),
    st.integers(0, 24),
    st.lists(tokens, max_size=2),
)
def test_distribution_equals_the_reference(
    xs: list[float], chosen: dict[str, Any], history: list[int], prompt_length: int, ends: list[int]
) -> None:
    logits = np.array(xs, dtype=np.float32)
    prompt_length = min(prompt_length, len(history))
    reference = ReferenceSampler(**chosen, token_bytes=PIECES, end_tokens=ends)
    expected = reference.probabilities(logits, history, prompt_length)
    assume(reference.margin > EXACT_MARGIN)

    def got() -> np.ndarray:
        return testing.sampler_probabilities(
            logits, SamplingParams(**chosen), history, prompt_length, PIECES, ends
        )

    if not expected.any():
        with pytest.raises(InvalidRequestError, match="no token may come next"):
            got()
        return
    assert np.all(got()[expected == 0] == 0)
    np.testing.assert_allclose(got(), expected, rtol=2e-5, atol=1e-9)


def test_dry_by_hand() -> None:
    # ... 3 4 5 | 3 4: 5 would go on a repetition of two; 9 follows one of one.
    history = [3, 4, 5, 7, 4, 9, 3, 4]
    logits = np.zeros(16, dtype=np.float32)
    params = {"dry_multiplier": 2.0, "dry_base": 3.0, "dry_sequence_breakers": []}

    def penalties(allowed: int) -> dict[int, float]:
        p = testing.sampler_probabilities(
            logits, SamplingParams(dry_allowed_length=allowed, **params), history, 0
        )
        losses = np.log(p[0] / p)
        return {int(i): float(round(losses[i], 3)) for i in np.flatnonzero(losses > 1e-3)}

    assert penalties(2) == {5: 2.0}
    assert penalties(1) == {5: 6.0, 9: 2.0}
    assert penalties(3) == {}


def test_dry_of_a_long_repetition_stays_finite() -> None:
    p = testing.sampler_probabilities(
        np.zeros(8, dtype=np.float32),
        SamplingParams(dry_multiplier=100, dry_base=100),
        [3] * 3000,
        0,
    )
    assert p[3] == 0
    assert np.isfinite(p).all()


def test_xtc_leaves_the_last_of_the_top_choices() -> None:
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.06, 0.04], dtype=np.float32))
    params = SamplingParams(xtc_probability=1.0, xtc_threshold=0.1)
    got = testing.sampler_probabilities(logits, params)
    np.testing.assert_allclose(got, np.array([0, 0, 0.2, 0.06, 0.04]) / 0.3, rtol=1e-5)


def test_xtc_happens_as_often_as_asked_and_apart_from_the_draw() -> None:
    logits = np.log(np.array([0.5, 0.5], dtype=np.float32))
    params = SamplingParams(xtc_probability=0.3, xtc_threshold=0.1, seed=11)
    hits = [testing.sampler_probabilities(logits, params, position=i)[0] == 0 for i in range(4000)]
    assert abs(np.mean(hits) - 0.3) < 0.03  # four deviations
    drawn = np.array(testing.sampler_draws(logits, params, list(range(4000))))
    assert set(drawn[hits]) == {1}
    assert abs(np.mean(drawn[~np.array(hits)]) - 0.5) < 0.04


def test_top_n_sigma_does_not_depend_on_temperature() -> None:
    logits = np.random.default_rng(2).normal(size=5000).astype(np.float32)
    kept = [
        np.flatnonzero(
            testing.sampler_probabilities(logits, SamplingParams(top_n_sigma=1.2, temperature=t))
        )
        for t in (0.5, 1.0, 1.5)
    ]
    expected = np.flatnonzero(logits >= logits.max() - 1.2 * logits.std())
    for ids in kept:
        np.testing.assert_array_equal(ids, expected)


# --- in the engine ----------------------------------------------------------------------------


def run(count: int, **fields: Any) -> list[Request]:
    engine = Engine(testing.TestRunner(num_vocab=NUM_VOCAB), 4, 16, TOKEN_BYTES, [EOS])
    requests = [
        Request(engine, [1, 2, 3], SamplingParams(max_tokens=60, seed=seed, **fields))
        for seed in range(count)
    ]
    finish_all(engine, requests)
    return requests


def test_bad_words_never_stand_in_the_text() -> None:
    words = [bytes([a, b]) for a in TOKEN_BYTES[5] + TOKEN_BYTES[6] for b in range(65, 90)]
    for request in run(6, bad_words=[*words, TOKEN_BYTES[9]], ignore_eos=True):
        assert len(request.tokens) == 60
        assert not any(word in request.text for word in words)
        assert TOKEN_BYTES[9] not in request.text


def test_min_tokens_holds_back_every_end() -> None:
    stops = {"stop": ["B", "C", "D"], "stop_token_ids": [7, 8]}
    short = run(12, **stops)
    assert min(len(request.tokens) for request in short) < 20
    for request in run(12, min_tokens=20, **stops):
        assert len(request.tokens) >= 20
        ended = request.last.stop_reason
        assert (request.finish == "stop") == (ended is not None)


def test_sample_index_gives_other_samples_of_one_seed() -> None:
    texts = {bytes(run(1, sample_index=i, ignore_eos=True)[0].text) for i in range(5)}
    assert len(texts) == 5
    assert run(1, sample_index=3)[0].tokens == run(1, sample_index=3)[0].tokens


def test_a_request_without_any_token_left_fails_alone() -> None:
    engine = Engine(testing.TestRunner(num_vocab=NUM_VOCAB), 4, 16, TOKEN_BYTES, [EOS])
    bad = Request(engine, [1], SamplingParams(allowed_token_ids=[5], bad_token_ids=[[5]]))
    good = Request(engine, [1], SamplingParams(max_tokens=5, ignore_eos=True))
    finish_all(engine, [bad, good])
    assert (bad.finish, good.finish) == ("error", "length")
    assert bad.last.error_is_request


def test_negative_infinity_of_the_model_is_its_own_fault() -> None:
    with pytest.raises(Exception, match="weights are damaged"):
        testing.sampler_probabilities(
            np.full(4, -math.inf, dtype=np.float32), SamplingParams(allowed_token_ids=[1])
        )
