"""Attention over the paged cache: every tier against the scalar one, that against float64 NumPy.

The reference rounds keys and values to the cache's type (and, for Q8_0, quantizes the queries as
the kernels do), then takes an exact softmax. Tolerance: 4e-6 of the largest value in sight, for
float32 sums of up to 1100 terms and an exponential good to about one unit in the last place; more
where scores are large, as the exponential makes a relative error of a score's absolute one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from weight_blocks import Floats, exact_tiers, quantized_activations, to_bf16

from pyslm import _native

TIERS = exact_tiers()
KV_TYPES = ["f16", "bf16", "q8_0"]
TOLERANCE = 4e-6

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """One sequence of `tokens`, of which the last `rows` are queries."""

    tokens: int = 300
    rows: int = 3
    kv_heads: int = 2
    group: int = 2  # query heads of one KV head
    key_dim: int = 64
    value_dim: int = 64
    softcap: float = 0.0
    window: int = 0
    causal: bool = True
    sinks: bool = False
    spread: float = 1.0  # of the scores

    def arrays(self) -> tuple[Floats, Floats, Floats, Floats | None]:
        """q [rows, heads, key_dim], k, v [tokens, kv_heads, dim], sinks [heads] or None."""
        rng = np.random.default_rng([self.tokens, self.rows, self.key_dim])
        heads = self.kv_heads * self.group
        q = rng.standard_normal((self.rows, heads, self.key_dim)) * self.spread
        k = rng.standard_normal((self.tokens, self.kv_heads, self.key_dim))
        v = rng.standard_normal((self.tokens, self.kv_heads, self.value_dim))
        sinks = rng.standard_normal(heads).astype(np.float32) if self.sinks else None
        return q.astype(np.float32), k.astype(np.float32), v.astype(np.float32), sinks

    def options(self, sinks: Floats | None) -> dict[str, object]:
        return {
            "scale": self.key_dim**-0.5,
            "softcap": self.softcap,
            "window": self.window,
            "causal": self.causal,
            "sinks": sinks,
        }


def run(case: Case, tier: str, kv_type: str, block_tokens: int = 32, threads: int = 1) -> Floats:
    q, k, v, sinks = case.arrays()
    out: Floats = _native._attention(
        tier, kv_type, q, k, v, **case.options(sinks), block_tokens=block_tokens, threads=threads
    )
    return out


def padded(x: Floats) -> Floats:
    """Rows of the last axis as [n, dim rounded up to 32]."""
    flat = x.reshape(-1, x.shape[-1])
    return np.pad(flat, ((0, 0), (0, -flat.shape[1] % 32)))


def cached(x: Floats, kv_type: str) -> Doubles:
    """What the cache holds of x."""
    if kv_type == "f16":
        return x.astype(np.float16).astype(np.float64)
    if kv_type == "bf16":
        return (to_bf16(x).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    blocks = padded(x).reshape(-1, 32)
    top = np.abs(blocks).max(axis=1, keepdims=True)
    codes = np.rint(blocks * (np.float32(127) / top)).astype(np.float64)
    scales = (top / np.float32(127)).astype(np.float16).astype(np.float64)
    wide = (codes * scales).reshape(*x.shape[:-1], -1)
    return np.ascontiguousarray(wide[..., : x.shape[-1]])


def expected(case: Case, kv_type: str) -> Doubles:
    q, k, v, sinks = case.arrays()
    queries = q.astype(np.float64)
    if kv_type == "q8_0":
        wide = quantized_activations(padded(q)).reshape(*q.shape[:-1], -1)
        queries = wide[..., : case.key_dim]
    keys, values = cached(k, kv_type), cached(v, kv_type)
    out = np.empty((case.rows, q.shape[1], case.value_dim))
    position = np.arange(case.tokens)
    for row in range(case.rows):
        at = case.tokens - case.rows + row
        seen = position <= at if case.causal else position >= 0
        if case.window:
            seen &= position > at - case.window
        for head in range(q.shape[1]):
            scores = keys[:, head // case.group] @ queries[row, head] * case.key_dim**-0.5
            if case.softcap:
                scores = np.tanh(scores / case.softcap) * case.softcap
            scores[~seen] = -np.inf
            top = max(scores.max(), -np.inf if sinks is None else sinks[head])
            p = np.exp(scores - top)
            total = p.sum() + (0 if sinks is None else np.exp(sinks[head] - top))
            out[row, head] = p / total @ values[:, head // case.group]
    return out


def same_bits(got: Floats, want: Floats) -> None:
    np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


def check(case: Case, kv_type: str) -> None:
    want = expected(case, kv_type)
    scalar = run(case, "scalar", kv_type)
    largest = np.abs(case.arrays()[2]).max()
    assert np.abs(scalar - want).max() <= TOLERANCE * max(1, case.spread / 4) * largest
    for tier in TIERS:
        same_bits(run(case, tier, kv_type), scalar)


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize("tokens", [1, 2, 15, 16, 17, 255, 256, 257, 511, 513, 1100])
def test_lengths(tokens: int, kv_type: str) -> None:
    """Spans of the softmax end at multiples of 256."""
    check(Case(tokens=tokens, rows=min(tokens, 5)), kv_type)


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize("group", range(1, 9))
def test_query_heads_of_one_kv_head(group: int, kv_type: str) -> None:
    check(Case(group=group, rows=4), kv_type)


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize(
    ("key_dim", "value_dim"),
    [
        (8, 8),
        (40, 24),
        (64, 128),
        (80, 80),
        (96, 96),
        (128, 64),
        (128, 128),
        (192, 128),
        (256, 256),
    ],
)
def test_head_sizes(key_dim: int, value_dim: int, kv_type: str) -> None:
    check(Case(tokens=270, rows=7, kv_heads=1, key_dim=key_dim, value_dim=value_dim), kv_type)


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize(
    "case",
    [
        Case(window=1),
        Case(window=16, rows=40),
        Case(window=100, rows=20),
        Case(window=1000),
        Case(tokens=700, window=300, rows=3),
        Case(softcap=5.0, spread=4.0),
        Case(softcap=50.0, window=64),
        Case(sinks=True),
        Case(sinks=True, window=7, rows=20),
        Case(causal=False, tokens=45, rows=45),
        Case(causal=False, tokens=290, rows=290, kv_heads=1),
        Case(spread=30.0),
    ],
    ids=lambda case: " ".join(str(case)[5:-1].split(", ")[6:]) + f" tokens={case.tokens}",
)
def test_masks_caps_and_sinks(case: Case, kv_type: str) -> None:
    check(case, kv_type)


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_size_of_blocks_and_threads_do_not_change_a_bit(kv_type: str) -> None:
    for case in (Case(rows=33), Case(tokens=530, window=60, rows=9, sinks=True)):
        for tier in ("scalar", _native.isa_info()["active"]):
            want = run(case, tier, kv_type)
            same_bits(run(case, tier, kv_type, block_tokens=16), want)
            same_bits(run(case, tier, kv_type, threads=2), want)
            same_bits(run(case, tier, kv_type, block_tokens=16, threads=3), want)


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize("case", [Case(rows=40), Case(rows=40, window=50, softcap=20, sinks=True)])
def test_cutting_a_prompt_does_not_change_a_bit(case: Case, kv_type: str) -> None:
    q, k, v, sinks = case.arrays()
    for tier in ("scalar", _native.isa_info()["active"]):
        want = run(case, tier, kv_type)
        for begin, end in [*((i, i + 1) for i in range(0, 40, 3)), (0, 13), (13, 30), (30, 40)]:
            tokens = case.tokens - case.rows + end
            part = _native._attention(
                tier, kv_type, q[begin:end], k[:tokens], v[:tokens], **case.options(sinks)
            )
            same_bits(part, want[begin:end])


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_tiny_keys_and_values(kv_type: str) -> None:
    """127 / max|x| overflows below 3.7e-37; such a block of a Q8_0 cache counts as zero."""
    case = replace(Case(), tokens=40)
    q, k, v, _ = case.arrays()
    k, v = k * np.float32(1e-40), v * np.float32(1e-39)
    want = _native._attention("scalar", kv_type, q, k, v, scale=1.0)
    assert np.abs(want).max() <= 1e-37
    for tier in TIERS:
        same_bits(_native._attention(tier, kv_type, q, k, v, scale=1.0), want)
