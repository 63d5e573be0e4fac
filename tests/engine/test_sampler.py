"""The sampler against a NumPy reference, published vectors and exact probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sampling_reference import ReferenceSampler
from scipy import stats

from pyslm._native import SamplingParams, testing
from pyslm.errors import InvalidRequestError, PyslmError

NUM_VOCAB = 40
EXACT_MARGIN = 1e-4

tokens = st.integers(0, NUM_VOCAB - 1)
# Quarters, so that equal logits are common; -inf as a grammar's mask would leave it.
logit_lists = st.lists(
    st.one_of(st.integers(-40, 40).map(lambda i: i / 4), st.just(-math.inf)),
    min_size=NUM_VOCAB,
    max_size=NUM_VOCAB,
).filter(lambda xs: any(math.isfinite(x) for x in xs))
unit = st.floats(0.01, 0.99).map(lambda p: round(p, 3))
fields = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 0.3, 0.7, 1.0, 1.5, 5.0]),
        "top_k": st.integers(0, NUM_VOCAB + 5),
        "top_p": unit,
        "min_p": unit,
        "typical_p": unit,
        "repetition_penalty": st.sampled_from([0.5, 1.1, 1.3, 2.0]),
        "presence_penalty": st.sampled_from([-1.5, 0.5, 2.0]),
        "frequency_penalty": st.sampled_from([-0.5, 0.25, 1.0]),
        "penalty_last_n": st.sampled_from([-1, 0, 1, 4]),
        "logit_bias": st.dictionaries(tokens, st.sampled_from([-100.0, -1.5, 2.25, 100.0])),
    },
)


@settings(max_examples=300, deadline=None)
@given(logit_lists, fields, st.lists(tokens, max_size=12), st.integers(0, 12))
def test_distribution_equals_the_reference(
    xs: list[float], chosen: dict[str, Any], history: list[int], prompt_length: int
) -> None:
    logits = np.array(xs, dtype=np.float32)
    prompt_length = min(prompt_length, len(history))
    reference = ReferenceSampler(**chosen)
    expected = reference.probabilities(logits, history, prompt_length)
    assume(reference.margin > EXACT_MARGIN)
    got = testing.sampler_probabilities(logits, SamplingParams(**chosen), history, prompt_length)
    assert np.all(got[expected == 0] == 0)
    assert np.all(got[expected > 1e-30] > 0)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("spread", [0.0, 0.05, 1.0, 4.0])
@pytest.mark.parametrize(
    "chosen",
    [
        {"top_p": 0.9},
        {"top_p": 0.999},
        {"top_k": 3000, "top_p": 0.5},
        {"typical_p": 0.8},
        {"min_p": 0.02},
    ],
    ids=str,
)
def test_large_vocabulary_equals_the_reference(spread: float, chosen: dict[str, Any]) -> None:
    logits = (np.random.default_rng(1).normal(size=50_000) * spread).astype(np.float32)
    expected = ReferenceSampler(**chosen).probabilities(logits, [], 0)
    got = testing.sampler_probabilities(logits, SamplingParams(**chosen))
    # Among so many tokens the one at the border may fall either way.
    assert abs(int(np.sum(got > 0)) - int(np.sum(expected > 0))) <= 3
    assert np.abs(got - expected).sum() < 1e-3


def test_probabilities_are_exact_over_the_whole_range() -> None:
    logits = np.linspace(0, -100, 200_001, dtype=np.float32)
    p = testing.sampler_probabilities(logits, SamplingParams())
    mass, expected = p / p[0], np.exp(logits.astype(np.float64))
    inside = logits >= np.float32(-87.3)
    np.testing.assert_allclose(mass[inside], expected[inside], rtol=2.4e-7)  # 2 ulp
    assert not mass[~inside].any()


def test_typical_keeps_tokens_near_the_entropy_and_not_the_likeliest() -> None:
    # Meister et al. 2022: with one token at 0.4 and many at 0.02 the entropy is near the many.
    logits = np.log(np.array([0.4] + [0.02] * 30, dtype=np.float32))
    got = testing.sampler_probabilities(logits, SamplingParams(typical_p=0.49))
    assert got[0] == 0
    np.testing.assert_allclose(got[got > 0], 1 / 25, rtol=1e-5)


def test_top_k_keeps_exactly_k_lower_ids_first_on_ties() -> None:
    logits = np.array([1, 2, 2, 2, 0], dtype=np.float32)
    got = testing.sampler_probabilities(logits, SamplingParams(top_k=2))
    np.testing.assert_allclose(got, [0, 0.5, 0.5, 0, 0])


def test_top_p_zero_keeps_the_most_likely() -> None:
    logits = np.array([0, 3, 3, 1], dtype=np.float32)
    got = testing.sampler_probabilities(logits, SamplingParams(top_p=0.0))
    np.testing.assert_array_equal(got, [0, 1, 0, 0])


def test_greedy_takes_the_lowest_id_of_equal_logits() -> None:
    for size in (1, 3, 15, 16, 17, 33, 1000):
        logits = np.zeros(size, dtype=np.float32)
        logits[size // 2 :] = 1.0
        assert testing.sampler_draws(logits, SamplingParams(temperature=0), [0]) == [size // 2]


# Random123 1.14, tests/kat_vectors, philox 4x32 10.
PHILOX_VECTORS = [
    ("00000000 00000000 00000000 00000000 00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "outputs"), PHILOX_VECTORS)
def test_philox_matches_the_published_vectors(inputs: str, outputs: str) -> None:
    words = [int(word, 16) for word in inputs.split()]
    expected = [int(word, 16) for word in outputs.split()]
    assert testing.philox4x32(words[:4], words[4:]) == expected


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"temperature": 0.6},
        {"top_k": 7},
        {"top_p": 0.8},
        {"typical_p": 0.7},
        {"min_p": 0.1},
        {"top_p": 0.7, "min_p": 0.04},
        {"top_p": 0.45},
    ],
    ids=str,
)
def test_draws_follow_the_distribution(chosen: dict[str, Any]) -> None:
    logits = np.random.default_rng(3).normal(size=30).astype(np.float32)
    params = SamplingParams(seed=17, **chosen)
    p = testing.sampler_probabilities(logits, params)
    num_draws = 20_000
    drawn = testing.sampler_draws(logits, params, list(range(num_draws)))
    counts = np.bincount(drawn, minlength=30)
    assert counts[p == 0].sum() == 0
    expected = p * num_draws
    many = expected >= 5  # the rest goes into one cell, as the test requires
    observed_cells = np.append(counts[many], counts[~many].sum())
    expected_cells = np.append(expected[many], expected[~many].sum())
    keep = expected_cells > 0
    result = stats.chisquare(observed_cells[keep], expected_cells[keep])
    assert result.pvalue > 1e-4  # the seed is fixed, so this cannot fail by chance


def test_draws_cross_block_borders() -> None:
    # 5000 equal tokens are three blocks of the draw's sum.
    drawn = testing.sampler_draws(
        np.zeros(5000, dtype=np.float32), SamplingParams(seed=5), list(range(20_000))
    )
    cells = np.bincount(np.array(drawn) // 100, minlength=50)
    assert stats.chisquare(cells).pvalue > 1e-4
    assert len(cells) == 50


def test_a_draw_depends_on_seed_sample_and_position_only() -> None:
    logits = np.random.default_rng(0).normal(size=1000).astype(np.float32)

    def draws(seed: int, positions: list[int], sample: int = 0) -> list[int]:
        params = SamplingParams(seed=seed)
        return list(testing.sampler_draws(logits, params, positions, sample))

    forward = draws(9, list(range(50)))
    assert draws(9, list(range(49, -1, -1))) == forward[::-1]
    assert draws(9, [31]) == [forward[31]]
    for other in (draws(10, list(range(50))), draws(9, list(range(50)), sample=1)):
        assert sum(a == b for a, b in zip(forward, other, strict=True)) < 10
    assert draws(9 + 2**32, list(range(50))) != forward


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("index", [0, 7, 16, 99])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_unusable_logits_are_refused(bad: float, index: int, temperature: float) -> None:
    logits = np.zeros(100, dtype=np.float32)
    logits[index] = bad
    with pytest.raises(PyslmError, match="logits"):
        testing.sampler_draws(logits, SamplingParams(temperature=temperature), [0])


def test_all_minus_infinity_is_refused() -> None:
    with pytest.raises(PyslmError, match="all -inf"):
        testing.sampler_draws(np.full(20, -np.inf, dtype=np.float32), SamplingParams(), [0])


ABSURD = [
    ("max_tokens", [0, -1, -(2**31)]),
    ("temperature", [-0.1, math.nan, math.inf, -math.inf]),
    ("top_k", [-1, -(2**31)]),
    ("top_p", [-0.01, 1.01, math.nan, math.inf]),
    ("min_p", [-0.01, 1.01, math.nan, -math.inf]),
    ("typical_p", [-0.01, 1.01, math.nan, math.inf]),
    ("repetition_penalty", [0.0, -1.0, 1e9, math.nan, math.inf]),
    ("presence_penalty", [-2.01, 2.01, math.nan, math.inf]),
    ("frequency_penalty", [-2.01, 2.01, math.nan, -math.inf]),
    ("penalty_last_n", [-2, -(2**31)]),
    ("forced_tokens", [[-1], [100], [1, 2**31 - 1]]),
    ("logit_bias", [{-1: 0.0}, {100: 0.0}, {3: 101.0}, {3: math.nan}, {3: -math.inf}]),
    ("logprobs", [-2, 101, 2**31 - 1]),
    ("stop_token_ids", [[-1], [100], [2**31 - 1]]),
    ("stop", [[""], [b"x" * 5000], ["a"] * 200]),
    ("min_tokens", [-1, 257]),
    ("top_n_sigma", [-1.0, math.nan, math.inf]),
    ("xtc_probability", [-0.1, 1.1, math.nan]),
    ("xtc_threshold", [-0.1, 1.1, math.nan]),
    ("dry_multiplier", [-1.0, math.nan, math.inf]),
    ("dry_base", [0.5, math.nan, math.inf]),
    ("dry_allowed_length", [0, -5]),
    ("dry_penalty_last_n", [-2]),
    ("dry_sequence_breakers", [[""], ["x" * 300], ["a"] * 200]),
    ("allowed_token_ids", [[-1], [100]]),
    ("bad_token_ids", [[[]], [[100]], [[3, -1]], [[1]] * 2000]),
    ("bad_words", [[""], ["x" * 300], ["x" * 200] * 100]),
    ("grammar_type", ["yaml"]),
    ("grammar", ["root"]),
]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in ABSURD for value in values], ids=repr
)
def test_validate_names_the_field(name: str, value: object) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{name} .*allowed"):
        SamplingParams(**{name: value}).validate(100)


def test_every_field_is_validated_or_takes_any_value() -> None:
    takes_any_value = {
        "adapter",  # the engine looks whether the model has it
        "seed",
        "sample_index",
        "include_stop_text",
        "ignore_eos",
        "priority",
        "cache_salt",
    }
    assert {name for name, _ in ABSURD} | takes_any_value == set(SamplingParams.fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [("top_k", 2**40), ("seed", -1), ("seed", 2**64), ("stop", 3), ("stop", [1]),
     ("temperature", "hot"), ("logit_bias", [1]), ("max_tokens", None)],
)  # fmt: skip
def test_values_of_the_wrong_type_are_type_errors(name: str, value: object) -> None:
    with pytest.raises(TypeError):
        SamplingParams(**{name: value})


def test_params_read_back_what_was_set() -> None:
    values: dict[str, Any] = {
        "max_tokens": 7, "min_tokens": 3, "priority": -3, "cache_salt": "tenant",
        "adapter": 2,
        "temperature": 0.5, "top_k": 9, "top_p": 0.25,
        "min_p": 0.125, "typical_p": 0.75, "top_n_sigma": 1.5, "xtc_probability": 0.5,
        "xtc_threshold": 0.25, "repetition_penalty": 1.5, "presence_penalty": 1.0,
        "frequency_penalty": -0.5, "penalty_last_n": 64, "dry_multiplier": 0.75, "dry_base": 2.0,
        "dry_allowed_length": 4, "dry_penalty_last_n": 99, "dry_sequence_breakers": [b"\n"],
        "logit_bias": {3: -1.5}, "allowed_token_ids": [1, 2], "bad_token_ids": [[1], [2, 3]],
        "bad_words": [b"no"], "seed": 2**63, "sample_index": 2, "logprobs": 5,
        "stop_token_ids": [4, 5], "stop": [b"\xff", "é".encode()], "include_stop_text": True,
        "ignore_eos": True, "grammar_type": "regex", "grammar": "a+", "forced_tokens": [7, 8],
    }  # fmt: skip
    params = SamplingParams(**values)
    assert {name: getattr(params, name) for name in SamplingParams.fields} == values
    assert repr(params) == f"SamplingParams({', '.join(f'{k}={v!r}' for k, v in values.items())})"
    assert SamplingParams(stop="end").stop == [b"end"]
    with pytest.raises(TypeError, match="beam"):
        SamplingParams(beam=1)
