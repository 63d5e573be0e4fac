"""The quantizers: error no larger than the `gguf` package's, hostile rows, refusals."""

from __future__ import annotations

from collections.abc import Callable

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyslm import _native
from pyslm.errors import InvalidRequestError

WRITTEN = [name for name, (_, _, writable) in _native.weight_formats().items() if writable]
# The ones that the gguf package can write too.
PEERED = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"]
# The widest step between neighbouring values, in units of the largest magnitude of a block.
STEP = {
    "F32": 0, "F16": 2**-11, "BF16": 2**-8, "Q8_0": 1 / 127, "Q6_K": 1 / 32, "Q5_0": 1 / 16,
    "Q5_1": 2 / 31, "Q5_K": 2 / 31, "Q4_0": 1 / 8, "Q4_1": 2 / 15, "Q4_K": 2 / 15,
    "MXFP4": 1 / 3, "Q3_K": 1 / 4, "Q2_K": 2 / 3,
}  # fmt: skip


def samples() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    shape = (32, 1024)
    gauss = rng.standard_normal(shape) * 0.02
    spikes = np.where(rng.random(shape) < 0.01, 20.0, 1.0)
    per_row = np.exp(rng.normal(size=(shape[0], 1)))
    rows = {
        "gaussian": gauss,
        "laplace": rng.laplace(size=shape) * 0.02,
        "outliers": gauss * spikes,
        "heavy tails": rng.standard_t(3, size=shape) * per_row,
        "offset": gauss + 0.05,
        "uniform": rng.uniform(-1, 1, shape),
    }
    return {name: value.astype(np.float32) for name, value in rows.items()}


def round_trip(name: str, x: np.ndarray, importance: np.ndarray | None = None) -> np.ndarray:
    data = _native.quantize(name, x.ravel(), importance)
    return _native.dequantize(name, data, x.size).reshape(x.shape)


def rmse(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.sqrt(np.mean((got.astype(np.float64) - want) ** 2)))


def gguf_round_trip(name: str, x: np.ndarray) -> np.ndarray:
    kind = gguf.GGMLQuantizationType[name]
    return gguf.quants.dequantize(gguf.quants.quantize(x, kind), kind)


@pytest.mark.parametrize("name", PEERED)
@pytest.mark.parametrize("kind", samples())
def test_error_is_no_larger_than_the_gguf_package_s(name: str, kind: str) -> None:
    x = samples()[kind]
    assert rmse(round_trip(name, x), x) <= rmse(gguf_round_trip(name, x), x)


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q8_0"])
def test_bytes_equal_the_gguf_package_s(name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    for x in samples().values():
        want = gguf.quants.quantize(x, kind).view(np.uint8).ravel()
        np.testing.assert_array_equal(_native.quantize(name, x.ravel()), want)


def test_halfs_round_to_nearest_even_everywhere() -> None:
    """Every half, every midpoint between two, their neighbours, and random bit patterns."""
    halfs = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halfs[:-1] + halfs[1:]) / 2
    around = [np.nextafter(middles, np.float32(side), dtype=np.float32) for side in (0, 1e9)]
    bits = np.random.default_rng(1).integers(0, 1 << 32, 1 << 18, dtype=np.uint64)
    random = bits.astype(np.uint32).view(np.float32)
    x = np.concatenate([halfs, middles, *around, random[np.abs(random) < 65520]])
    x = np.concatenate([x, -x])
    np.testing.assert_array_equal(
        _native.quantize("F16", x).view(np.uint16), x.astype(np.float16).view(np.uint16)
    )
    beyond = np.array([65520, -1e9, 3.4e38], np.float32)
    np.testing.assert_array_equal(round_trip("F16", beyond), [65504, -65504, 65504])


def test_bf16_rounds_to_nearest_even_everywhere() -> None:
    tops = np.arange(0x7F7F, dtype=np.uint32) << 16
    low = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    x = (tops[:, None] | low).ravel().view(np.float32)
    want = gguf.quants.quantize(x.reshape(1, -1), gguf.GGMLQuantizationType.BF16)
    np.testing.assert_array_equal(_native.quantize("BF16", x), want.ravel())
    assert np.isfinite(round_trip("BF16", np.full(1, np.finfo(np.float32).max))).all()


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_no_element_is_much_more_than_a_step_off(name: str, scale: float) -> None:
    x = (np.random.default_rng(5).uniform(-1, 1, (64, 256)) * scale).astype(np.float32)
    # The search may cut a little more than a step off a lone extreme.
    assert np.abs(round_trip(name, x) - x).max() <= 1.1 * STEP[name] * scale


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_k_quants_beat_plain_rounding_of_each_sub_block(name: str) -> None:
    """Against min-to-max (or largest-magnitude) rounding with scales of unlimited precision."""
    levels, sub, has_min = {
        "Q2_K": (3, 16, True), "Q3_K": (4, 16, False), "Q4_K": (15, 32, True),
        "Q5_K": (31, 32, True), "Q6_K": (32, 16, False),
    }[name]  # fmt: skip
    for kind in ("gaussian", "laplace", "heavy tails"):
        x = samples()[kind]
        blocks = x.reshape(-1, sub).astype(np.float64)
        if has_min:
            low = np.minimum(blocks.min(1, keepdims=True), 0)
            step = (blocks.max(1, keepdims=True) - low) / levels
            plain = np.clip(np.rint((blocks - low) / step), 0, levels) * step + low
        else:
            rows = np.arange(len(blocks))
            extreme = blocks[rows, np.abs(blocks).argmax(1)][:, None]
            step = -extreme / levels
            plain = np.clip(np.rint(blocks / step), -levels, levels - 1) * step
        assert rmse(round_trip(name, x), x) < rmse(plain.reshape(x.shape), x), kind


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_block_can_hold_exactly_survives(name: str) -> None:
    """Values on the format's own grid: a second round trip changes (almost) nothing."""
    x = samples()["gaussian"]
    once = round_trip(name, x)
    assert rmse(round_trip(name, once), once) <= 0.35 * rmse(once, x) + 1e-9


@pytest.mark.parametrize("name", WRITTEN)
def test_zero_stays_zero(name: str) -> None:
    assert not round_trip(name, np.zeros(512, np.float32)).any()


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("value", [1.0, -1.0, 0.0313, -7.77, 1e-3, 3e4])
def test_constant_rows_stay_constant(name: str, value: float) -> None:
    x = np.full(256, value, np.float32)
    got = round_trip(name, x)
    assert np.ptp(got) <= 1e-6 * abs(value)
    assert np.abs(got - x).max() <= (0.5 if name == "MXFP4" else 0.01) * abs(value)


@pytest.mark.parametrize("name", PEERED)
@pytest.mark.parametrize("value", [1.0, -7.77, 0.0313, 1e-3, 3e4])
def test_constant_rows_are_no_worse_than_the_gguf_package_s(name: str, value: float) -> None:
    x = np.full((1, 256), value, np.float32)
    assert rmse(round_trip(name, x), x) <= rmse(gguf_round_trip(name, x), x)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("magnitude", [1e-45, 1e-38, 1e-9, 1e-6, 1e9, 1e30, 3.4e38])
def test_tiny_and_huge_values_give_finite_numbers(name: str, magnitude: float) -> None:
    rng = np.random.default_rng(2)
    x = (rng.uniform(-1, 1, 512) * magnitude).astype(np.float32)
    got = round_trip(name, x)
    assert np.isfinite(got).all()
    # Never further off than all zeros would be, but for rounding up to the format's least step.
    assert np.abs(got - x).max() <= max(np.abs(x).max() * (1 + 1e-6), 2**-24)


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=60, deadline=None)
@given(
    x=hnp.arrays(
        np.float32, 256, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
)
def test_any_finite_row_gives_finite_numbers(name: str, x: np.ndarray) -> None:
    assert np.isfinite(round_trip(name, x)).all()


@pytest.mark.parametrize("name", WRITTEN)
def test_blocks_do_not_depend_on_their_neighbours(name: str) -> None:
    x = samples()["heavy tails"][:2].ravel()
    whole = _native.quantize(name, x)
    parts = [_native.quantize(name, part) for part in np.split(x, 8)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_importance_moves_the_error_away_from_what_matters(name: str) -> None:
    x = samples()["gaussian"]
    importance = np.where(np.arange(x.size) % 4 == 0, 100.0, 1.0).astype(np.float32)
    matters = importance.reshape(x.shape) > 1
    plain, weighted = round_trip(name, x), round_trip(name, x, importance)
    assert rmse(weighted[matters], x[matters]) < 0.9 * rmse(plain[matters], x[matters])
    np.testing.assert_array_equal(
        round_trip(name, x, np.zeros(x.size, np.float32)),
        plain,
        "no importance at all: the default",
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_number_that_is_not_finite_is_named(name: str, bad: float) -> None:
    x = np.zeros(512, np.float32)
    x[300] = bad
    with pytest.raises(InvalidRequestError, match=r"element 300 is -?(nan|inf); only finite"):
        _native.quantize(name, x)


def refusal(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        call()


def test_refusals_say_what_is_allowed() -> None:
    x = np.zeros(256, np.float32)
    refusal(lambda: _native.quantize("IQ4_XS", x), "IQ4_XS can be read but not written")
    refusal(lambda: _native.quantize("Q4_K_M", x), "unknown tensor type 'Q4_K_M'; known: F32")
    refusal(lambda: _native.quantize("Q4_K", x[:255]), "255 elements do not divide")
    refusal(lambda: _native.quantize("Q4_K", x, x[:1]), "1 importances for 256 elements")
    refusal(lambda: _native.quantize("Q4_K", x, x - 1), "importance 0 is -1; allowed")
