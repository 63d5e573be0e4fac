"""Norms, activations, caps and rope: every tier against the scalar one, that against float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf
from weight_blocks import Floats, exact_tiers

from pyslm import _native

TIERS = exact_tiers()
SIZES = [1, 5, 15, 16, 17, 64, 100, 1000]

Doubles = NDArray[np.float64]


def values(size: int, seed: int, spread: float = 3.0) -> Floats:
    return (np.random.default_rng([size, seed]).standard_normal(size) * spread).astype(np.float32)


def same_bits(got: Floats, want: Floats) -> None:
    np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


def on_every_tier(op: str, *operands: Floats | None, number: float = 0.0) -> Floats:
    want: Floats = _native._row_op("scalar", op, *operands, number=number)
    for tier in TIERS:
        same_bits(_native._row_op(tier, op, *operands, number=number), want)
    return want


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("eps", [1e-6, 1e-5])
def test_rms_norm(size: int, eps: float) -> None:
    x, w = values(size, 1), values(size, 2)
    for weight in (w, None):
        got = on_every_tier("rms_norm", x, weight, number=eps)
        wide = x.astype(np.float64)
        want = wide / np.sqrt((wide**2).mean() + eps) * (1 if weight is None else weight)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_layer_norm(size: int) -> None:
    x, w, b = values(size, 1) + np.float32(5), values(size, 2), values(size, 3)
    for bias in (b, None):
        got = on_every_tier("layer_norm", x, w, bias, number=1e-5)
        wide = x.astype(np.float64)
        want = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-5) * w
        want += 0 if bias is None else bias
        # The mean is rounded to float32: an error of its last place, scaled like the rest.
        slack = 1e-6 * np.abs(wide).max() / np.sqrt(wide.var() + 1e-5) * np.abs(w) + 1e-6
        assert (np.abs(got - want) <= slack).all()


def gelu_tanh(x: Doubles) -> Doubles:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, tuple[Callable[[Doubles], Doubles], float]] = {
    # The absolute error allowed beside a relative one of 1e-6, per unit of |x|.
    "silu": (lambda x: x / (1 + np.exp(-x)), 1e-7),
    "gelu_tanh": (gelu_tanh, 1e-6),
    "gelu_erf": (lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))), 3e-7),
    "relu2": (lambda x: np.maximum(x, 0) ** 2, 0.0),
}


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_activations(op: str) -> None:
    function, slack = ACTIVATIONS[op]
    edges = [0.0, -0.0, 1e-30, -1e-30, 0.04, 88.0, -88.0, 200.0, -200.0, 1e4, -1e4]
    x = np.concatenate([np.linspace(-20, 20, 4001), edges]).astype(np.float32)
    up = values(len(x), 4)
    want = function(x.astype(np.float64).clip(-700, None))
    bound = 1e-6 * np.abs(want) + slack * np.abs(x) + 1e-37
    assert (np.abs(on_every_tier(op, x, None) - want) <= bound).all()
    gated = on_every_tier(op, x, up)
    assert (np.abs(gated - want * up) <= (bound + 1e-7 * np.abs(want)) * np.abs(up) + 1e-37).all()


@pytest.mark.parametrize("size", SIZES)
def test_ragged_ends_equal_the_same_values_within_a_longer_row(size: int) -> None:
    x, up = values(1008, 1), values(1008, 2)
    for op in ACTIVATIONS:
        same_bits(on_every_tier(op, x[:size], up[:size]), on_every_tier(op, x, up)[:size])


@pytest.mark.parametrize("size", SIZES)
def test_add_and_multiply(size: int) -> None:
    x, y = values(size, 1), values(size, 2)
    added = on_every_tier("add", x, y, number=0.3)
    exact = x.astype(np.float64) + y.astype(np.float64) * float(np.float32(0.3))
    np.testing.assert_array_equal(added, exact.astype(np.float32))  # one rounding
    np.testing.assert_array_equal(on_every_tier("multiply", x, number=0.3), x * np.float32(0.3))


@pytest.mark.parametrize("cap", [1.0, 30.0, 50.0])
def test_softcap(cap: float) -> None:
    x = np.concatenate([np.linspace(-500, 500, 2001), np.geomspace(1e-20, 100, 999)])
    got = on_every_tier("softcap", x.astype(np.float32), number=cap)
    want = cap * np.tanh(x.astype(np.float32).astype(np.float64) / cap)
    # tanh as 2 sigmoid - 1 from 0.05 on: absolute 1.2e-7 there, hence relative 3e-6 at worst.
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=0)


@pytest.mark.parametrize("neox", [False, True])
@pytest.mark.parametrize(
    ("head_dim", "n_rot", "base", "freq_scale", "attn_factor"),
    [
        (64, 64, 10000.0, 1.0, 1.0),
        (80, 32, 10000.0, 1.0, 1.19),
        (128, 128, 1e6, 0.25, 1.0),
        (6, 4, 500000.0, 1.0, 1.0),
    ],
)
def test_rope(
    neox: bool, head_dim: int, n_rot: int, base: float, freq_scale: float, attn_factor: float
) -> None:
    positions = [0, 1, 2, 77, 4095, 131071]
    x = values(len(positions) * 3 * head_dim, 9).reshape(len(positions), 3, head_dim)
    factors = np.linspace(1, 8, n_rot // 2).astype(np.float32)
    for divide in ([], factors.tolist()):
        options = (positions, n_rot, base, freq_scale, attn_factor, divide)
        got = _native._rope("scalar", neox, x, *options)
        for tier in TIERS:
            same_bits(_native._rope(tier, neox, x, *options), got)
        frequency = base ** (-np.arange(0, n_rot, 2) / n_rot) * freq_scale
        frequency /= factors.astype(np.float64) if divide else 1
        turn = np.exp(1j * np.array(positions)[:, None] * frequency)[:, None, :] * attn_factor
        wide = x.astype(np.float64)
        pairs = n_rot // 2
        first = slice(0, pairs) if neox else slice(0, n_rot, 2)
        second = slice(pairs, n_rot) if neox else slice(1, n_rot, 2)
        rotated = (wide[..., first] + 1j * wide[..., second]) * turn
        want = wide.copy()
        want[..., first], want[..., second] = rotated.real, rotated.imag
        assert np.abs(got - want).max() <= 1e-6 * np.abs(x).max() * attn_factor
        np.testing.assert_array_equal(got[..., n_rot:], x[..., n_rot:])
