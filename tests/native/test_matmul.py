"""Matrix products of every weight format on every tier of this CPU.

Every tier gives the bits of the scalar one, which is held against float64 products of weights that
the `gguf` package decodes. Tiers with arithmetic of their own are in test_bf16.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from weight_blocks import (
    FLOAT_FORMATS,
    FORMATS,
    HALF_OFFSETS,
    OWN_ARITHMETIC,
    Bytes,
    Floats,
    block_size,
    decode,
    exact_product,
    exact_tiers,
    put_halfs,
    random_weight,
)

from pyslm import _native

TIERS = exact_tiers()
ROW_COUNTS = [*range(1, 18), 24, 25, 37]
# Relative to the sum of absolute products: float32 accumulation of a few hundred terms.
TOLERANCE = 1e-5


def tiers_for(name: str) -> list[str]:
    return [tier for tier in TIERS if (tier, name) not in OWN_ARITHMETIC]


def columns_of(name: str) -> int:
    return 64 if name in FLOAT_FORMATS else max(96, 2 * block_size(name)[0])


def activations(m: int, cols: int, seed: int = 1) -> Floats:
    rng = np.random.default_rng([seed, m, cols])
    size = np.exp(rng.uniform(-3, 3, (m, cols)))
    return (rng.standard_normal((m, cols)) * size).astype(np.float32)


def same_bits(got: Floats, want: Floats) -> None:
    np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


def check_against_float64(name: str, blocks: Bytes, x: Floats, got: Floats) -> None:
    want, size = exact_product(name, blocks, x)
    assert np.isfinite(got).all()
    assert (np.abs(got - want) <= TOLERANCE * size + 1e-30).all()


@pytest.mark.parametrize("name", FORMATS)
def test_scalar_products_are_those_of_float64(name: str) -> None:
    for rows, cols in [(1, columns_of(name)), (37, 2 * columns_of(name)), (80, 1024)]:
        blocks, x = random_weight(name, rows, cols), activations(5, cols)
        check_against_float64(name, blocks, x, _native._matmul("scalar", name, blocks, rows, x))


@pytest.mark.parametrize(
    ("tier", "name"), [(tier, name) for name in FORMATS for tier in tiers_for(name)]
)
def test_every_number_of_rows_gives_the_scalar_bits(tier: str, name: str) -> None:
    cols = columns_of(name)
    for rows in (1, 16, 83):  # one tile, ragged tiles; 83: more tiles than run side by side
        blocks, x = random_weight(name, rows, cols), activations(max(ROW_COUNTS), cols)
        want = _native._matmul("scalar", name, blocks, rows, x)
        for m in ROW_COUNTS:  # so that a row alone equals the same row in any batch, too
            same_bits(_native._matmul(tier, name, blocks, rows, x[:m]), want[:m])


@pytest.mark.parametrize("name", FLOAT_FORMATS)
@pytest.mark.parametrize("cols", [1, 3, 31, 65])
def test_odd_columns_of_float_formats(name: str, cols: int) -> None:
    blocks, x = random_weight(name, 35, cols), activations(26, cols)
    want = _native._matmul("scalar", name, blocks, 35, x)
    check_against_float64(name, blocks, x, want)
    for tier in tiers_for(name):
        for m in (1, 2, 5, 12, 26):
            same_bits(_native._matmul(tier, name, blocks, 35, x[:m]), want[:m])


@pytest.mark.parametrize("name", FORMATS)
def test_bias_and_accumulation(name: str) -> None:
    cols, rows = columns_of(name), 43
    rng = np.random.default_rng(5)
    blocks, x = random_weight(name, rows, cols), activations(25, cols)
    bias = rng.standard_normal(rows).astype(np.float32)
    before = rng.standard_normal((25, rows)).astype(np.float32)
    plain, size = exact_product(name, blocks, x)
    for kwargs, want in [
        ({"bias": bias}, plain + bias),
        ({"accumulate_into": before}, plain + before),
        ({"accumulate_into": before, "scale": 0.25}, plain * 0.25 + before),
        ({"bias": bias, "accumulate_into": before, "scale": 3.0}, (plain + bias) * 3 + before),
    ]:
        scalar = _native._matmul("scalar", name, blocks, rows, x, **kwargs)
        assert (np.abs(scalar - want) <= 3 * TOLERANCE * (size + 1)).all()
        for tier in tiers_for(name):
            for m in (1, 3, 9, 25):
                part = dict(kwargs)
                if "accumulate_into" in part:
                    part["accumulate_into"] = before[:m].copy()
                same_bits(_native._matmul(tier, name, blocks, rows, x[:m], **part), scalar[:m])


@pytest.mark.parametrize("name", FORMATS)
def test_threads_do_not_change_a_bit(name: str) -> None:
    cols = columns_of(name)
    blocks, x = random_weight(name, 16 * 9 + 5, cols), activations(25, cols)
    for tier in _native.isa_info()["supported"]:
        for m in (1, 6, 25):
            one, two, three = (
                _native._matmul(tier, name, blocks, 16 * 9 + 5, x[:m], threads=threads)
                for threads in (1, 2, 3)
            )
            same_bits(two, one)
            same_bits(three, one)


def extreme_weights(name: str) -> list[Bytes]:
    """Every code bit alike (0x00, 0xFF, 0x7F, 0x80) under the largest and smallest scales."""
    elems, num_bytes = block_size(name)
    weights = []
    for fill in (0x00, 0xFF, 0x7F, 0x80, 0x55, 0xAA):
        for half in (65504.0, -65504.0, 2.0**-24):
            blocks = np.full((17 * columns_of(name) // elems, num_bytes), fill, np.uint8)
            put_halfs(name, blocks, np.full((len(blocks), 2), half, np.float16))
            if name == "MXFP4":
                blocks[:, 0] = {65504.0: 200, -65504.0: 0}.get(half, 1)
            weights.append(blocks.reshape(17, -1))
    return weights


@pytest.mark.parametrize("name", list(HALF_OFFSETS))
def test_nothing_saturates(name: str) -> None:
    cols = columns_of(name)
    alternating = np.where(np.arange(cols) % 2 == 0, 1, -1)
    x = np.stack([np.ones(cols), -np.ones(cols), alternating, np.zeros(cols)]).astype(np.float32)
    for blocks in extreme_weights(name):
        want = _native._matmul("scalar", name, blocks, 17, x)
        check_against_float64(name, blocks, x, want)
        assert (want[3] == 0).all()
        for tier in tiers_for(name):
            same_bits(
                _native._matmul(tier, name, blocks, 17, np.tile(x, (7, 1))), np.tile(want, (7, 1))
            )
            same_bits(_native._matmul(tier, name, blocks, 17, x), want)


@pytest.mark.parametrize("top", [1e-45, 1e-40, 3.6e-37, 1e-31, 1e34])
def test_activations_of_any_size_are_quantized_alike(top: float) -> None:
    """127 / max|x| overflows below 3.7e-37; such a block counts as zero."""
    x = (activations(26, 256) / 1000).clip(-1, 1)
    x[:, ::32] = 1
    x = (x.astype(np.float64) * top).astype(np.float32)
    blocks = random_weight("Q8_0", 33, 256)
    want = _native._matmul("scalar", "Q8_0", blocks, 33, x)
    assert (np.abs(want) <= 256 * 12.7 * top).all()
    for tier in TIERS:
        for m in (1, 26):
            same_bits(_native._matmul(tier, "Q8_0", blocks, 33, x[:m]), want[:m])


@pytest.mark.parametrize("name", FORMATS)
def test_packed_rows_decode_as_the_gguf_package_does(name: str) -> None:
    cols = columns_of(name) + (1 if name in FLOAT_FORMATS else 0)
    blocks = random_weight(name, 37, cols)
    same_bits(_native._packed_rows(name, blocks, 37, cols), decode(name, blocks))


@pytest.mark.parametrize("name", FORMATS)
def test_packing_costs_at_most_6_percent(name: str) -> None:
    elems, num_bytes = block_size(name)
    in_file = 4096 * 4096 // elems * num_bytes
    assert in_file <= _native.packed_bytes(name, 4096, 4096) <= 1.06 * in_file
