"""Under a grammar the draw is that of the allowed tokens alone, however it is come by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pyslm._native import SamplingParams, isa_info, testing

NUM_VOCAB = 40
NEVER = np.float32(-np.inf)


def masked(logits: np.ndarray, allowed: list[int]) -> np.ndarray:
    result = np.full_like(logits, NEVER)
    result[allowed] = logits[allowed]
    return result


@pytest.mark.parametrize(
    "chosen",
    [{}, {"temperature": 0.6}, {"top_p": 0.8}, {"min_p": 0.1}, {"top_k": 5}, {"typical_p": 0.7},
     {"repetition_penalty": 1.5}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_draws_have_the_distribution_of_what_is_allowed(
    chosen: dict[str, Any], share: float
) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=NUM_VOCAB).astype(np.float32)
    allowed = sorted(rng.choice(NUM_VOCAB, int(share * NUM_VOCAB), replace=False).tolist())
    params = SamplingParams(seed=11, **chosen)
    history = [1, 2, 3, 4, 5]
    expected = testing.sampler_probabilities(masked(logits, allowed), params, history, 2)
    draws = testing.sampler_draws(
        logits, params, list(range(5, 20_005)), 0, history, 2, grammar=allowed
    )
    counts = np.bincount(draws, minlength=NUM_VOCAB)
    assert counts[expected == 0].sum() == 0
    likely = expected * len(draws) > 5
    observed = np.append(counts[likely], counts[~likely].sum())
    wanted = np.append(expected[likely], expected[~likely].sum()) * len(draws)
    kept = wanted > 0
    assert stats.chisquare(observed[kept], wanted[kept]).pvalue > 1e-4


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-8, 8), min_size=NUM_VOCAB, max_size=NUM_VOCAB),
    st.lists(st.integers(0, NUM_VOCAB - 1), min_size=1, unique=True),
)
def test_greedy_takes_the_first_of_the_largest_allowed(xs: list[int], allowed: list[int]) -> None:
    logits = np.array(xs, dtype=np.float32)
    params = SamplingParams(temperature=0.0)
    (got,) = testing.sampler_draws(logits, params, [7], grammar=allowed)
    assert got == int(np.argmax(masked(logits, allowed)))


def test_an_end_comes_only_where_nothing_else_may() -> None:
    logits = np.zeros(NUM_VOCAB, dtype=np.float32)
    logits[9] = 30
    params = SamplingParams(temperature=0.0, ignore_eos=True)
    for allowed, expected in [([9], 9), ([9, 12], 12), (list(range(NUM_VOCAB)), 0)]:
        draws = testing.sampler_draws(logits, params, [3], end_tokens=[9], grammar=allowed)
        assert draws == [expected]


def test_every_tier_keeps_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A size that fills no vector, and words of bits that are empty, full and mixed."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=1003).astype(np.float32)
    mixed = rng.choice(np.arange(64, 900), 300, replace=False).tolist()
    allowed = sorted({*range(32), *mixed, *range(990, 1003)})
    params = SamplingParams(seed=2, top_p=0.95)  # needs the mask
    draws = {}
    for tier in isa_info()["supported"]:
        monkeypatch.setenv("PYSLM_ISA", tier)
        assert isa_info()["active"] == tier
        draws[tier] = testing.sampler_draws(logits, params, list(range(3000)), grammar=allowed)
    assert set(draws["scalar"]) <= set(allowed)
    assert len(set(draws["scalar"]) & set(range(990, 1003))) > 5
    assert all(found == draws["scalar"] for found in draws.values())
