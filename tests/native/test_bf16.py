"""The BF16 product of the tier avx512bf16, whose activations are rounded to bfloat16.

It does not give the scalar bits. Each activation is off by at most 2^-9 of itself and each sum by
float32 roundings, so that a result is within 2^-8 of the sum of absolute products of the float64
one; of the product of activations rounded beforehand it is within the others' 1e-5.
"""

from __future__ import annotations

import numpy as np
import pytest
from weight_blocks import Floats, exact_product, random_weight, to_bf16

from pyslm import _native

TIER = "avx512bf16"
pytestmark = pytest.mark.skipif(
    TIER not in _native.isa_info()["supported"], reason=f"this CPU or build has no {TIER}"
)


def activations(m: int, cols: int) -> Floats:
    rng = np.random.default_rng([m, cols])
    return (rng.standard_normal((m, cols)) * np.exp(rng.uniform(-3, 3, (m, cols)))).astype(
        np.float32
    )


@pytest.mark.parametrize("cols", [1, 2, 63, 64, 1024])
def test_tolerance(cols: int) -> None:
    blocks, x = random_weight("BF16", 83, cols), activations(37, cols)
    got = _native._matmul(TIER, "BF16", blocks, 83, x)
    want, size = exact_product("BF16", blocks, x)
    assert (np.abs(got - want) <= 2.0**-8 * size).all()
    rounded = (to_bf16(x).astype(np.uint32) << 16).view(np.float32)
    want, size = exact_product("BF16", blocks, rounded)
    assert (np.abs(got - want) <= 1e-5 * size).all()


def test_one_row_and_many_agree_to_the_bit() -> None:
    blocks, x = random_weight("BF16", 83, 130), activations(37, 130)
    want = _native._matmul(TIER, "BF16", blocks, 83, x)
    for m in (*range(1, 18), 24, 25):
        got = _native._matmul(TIER, "BF16", blocks, 83, x[:m], threads=1 + m % 2)
        np.testing.assert_array_equal(got.view(np.uint32), want[:m].view(np.uint32))


def test_bias_and_accumulation() -> None:
    blocks, x = random_weight("BF16", 43, 65), activations(9, 65)
    rng = np.random.default_rng(3)
    bias = rng.standard_normal(43).astype(np.float32)
    before = rng.standard_normal((9, 43)).astype(np.float32)
    plain = _native._matmul(TIER, "BF16", blocks, 43, x)
    got = _native._matmul(TIER, "BF16", blocks, 43, x, bias=bias, accumulate_into=before, scale=0.5)
    want = (plain.astype(np.float64) + bias) * 0.5 + before
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
