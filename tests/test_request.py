"""SamplingParams: what is accepted, and how the rest is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pyslm import InvalidRequestError, PyslmError, SamplingParams, _native, request
from pyslm.generation import native_params


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 2**31),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("max_tokens", "5"),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "hot"),
        ("temperature", None),
        ("top_k", -1),
        ("top_p", -0.01),
        ("top_p", 1.01),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("typical_p", 1.5),
        ("repetition_penalty", 0.0),
        ("presence_penalty", 2.5),
        ("frequency_penalty", -2.5),
        ("penalty_last_n", -2),
        ("seed", -1),
        ("seed", 2**64),
        ("logprobs", -1),
        ("logprobs", 101),
        ("stop", ""),
        ("stop", ["a", ""]),
        ("stop", [1]),
        ("stop", 5),
        ("stop", "x" * 4097),
        ("stop", "a\ud800"),
        ("stop_token_ids", [-1]),
        ("stop_token_ids", "12"),
        ("stop_token_ids", 7),
        ("logit_bias", [(1, 2.0)]),
        ("logit_bias", {-1: 2.0}),
        ("logit_bias", {1: math.nan}),
        ("logit_bias", {1: 100.5}),
        ("ignore_eos", 1),
        ("include_stop_text", "yes"),
    ],
)
def test_refuses_with_field_value_and_range(field: str, value: object) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{field}.* is .*; allowed: ") as caught:
        SamplingParams(**{field: value})  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, PyslmError)
    assert "\n" not in str(caught.value)


def test_accepts_the_ends_of_every_range() -> None:
    SamplingParams(max_tokens=1, temperature=0, top_k=0, top_p=1, min_p=0, typical_p=1, seed=0)
    SamplingParams(top_p=0, typical_p=0, repetition_penalty=0.01, stop=["x" * 4096] * 128)
    SamplingParams(max_tokens=2**31 - 1, min_p=1, seed=2**64 - 1, logprobs=0, penalty_last_n=-1)
    SamplingParams(presence_penalty=-2, frequency_penalty=2, logit_bias={3: -100})


def test_normalises_to_plain_values() -> None:
    params = SamplingParams(
        max_tokens=np.int64(3),  # type: ignore[arg-type]
        temperature=np.float32(0.5),  # type: ignore[arg-type]
        stop="END",
        stop_token_ids=[1, 2],
        logit_bias={np.int32(5): 1},  # type: ignore[dict-item]
    )
    assert type(params.max_tokens) is int
    assert type(params.temperature) is float
    assert params.stop == ("END",)
    assert params.stop_token_ids == (1, 2)
    assert params.logit_bias == {5: 1.0}


def test_is_frozen_and_replace_checks_again() -> None:
    params = SamplingParams(seed=1)
    with pytest.raises(AttributeError):
        params.seed = 2  # type: ignore[misc]
    assert params.replace(seed=2).seed == 2
    assert params.seed == 1
    with pytest.raises(InvalidRequestError):
        params.replace(top_p=2.0)


def test_too_many_stops() -> None:
    with pytest.raises(InvalidRequestError, match="129; allowed: at most 128"):
        SamplingParams(stop=["x"] * 129)


def test_ranges_are_those_of_the_engine() -> None:
    """What passes here passes there: at both ends of every range."""
    for name in ("temperature", "top_p", "min_p", "typical_p", "repetition_penalty",
                 "presence_penalty", "frequency_penalty"):  # fmt: skip
        for value in request._FLOAT_RANGES[name]:
            native_params(SamplingParams(**{name: value}), seed=0, room=9).validate(100)
            if value < 1000:
                wrong = _native.SamplingParams(**{name: value + (0.01 if value > 0.01 else -0.01)})
                with pytest.raises(InvalidRequestError, match=name):
                    wrong.validate(100)
