"""Decoding of every format against the decoder of the `gguf` package, to the bit."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from pyslm import _native
from pyslm.errors import InvalidRequestError

FORMATS = [
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0",
    "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
]  # fmt: skip


def reference(name: str, data: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return gguf.quants.dequantize(data, gguf.GGMLQuantizationType[name]).astype(np.float32)


def assert_same_floats(got: np.ndarray, want: np.ndarray) -> None:
    """Equal to the bit, zeros' signs included; NaN equals NaN of any payload."""
    assert got.dtype == want.dtype == np.float32
    assert got.shape == want.shape
    both_nan = np.isnan(got) & np.isnan(want)
    differ = (got.view(np.uint32) != want.view(np.uint32)) & ~both_nan
    assert not differ.any(), (np.flatnonzero(differ)[:5], got[differ][:5], want[differ][:5])


def test_the_list_of_formats_has_the_gguf_package_s_sizes() -> None:
    assert list(_native.weight_formats()) == FORMATS
    for name, (block_elems, block_bytes, writable) in _native.weight_formats().items():
        kind = gguf.GGMLQuantizationType[name]
        assert (block_elems, block_bytes) == gguf.GGML_QUANT_SIZES[kind]
        assert writable == (not name.startswith("IQ"))


@pytest.mark.parametrize("name", FORMATS)
def test_random_bytes_decode_as_the_gguf_package_does(name: str) -> None:
    block_elems, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    rng = np.random.default_rng(7)
    num_blocks = 65536 if block_elems == 1 else 4096
    data = rng.integers(0, 256, num_blocks * block_bytes, dtype=np.uint8)
    got = _native.dequantize(name, data, num_blocks * block_elems)
    assert_same_floats(got, reference(name, data))


@pytest.mark.parametrize("name", ["F16", "BF16"])
def test_every_16_bit_pattern(name: str) -> None:
    data = np.arange(65536, dtype=np.uint16).view(np.uint8)
    assert_same_floats(_native.dequantize(name, data, 65536), reference(name, data))


def test_every_mxfp4_exponent() -> None:
    data = np.zeros((256, 17), np.uint8)
    data[:, 0] = np.arange(256)
    data[:, 1:] = np.arange(16) | (np.arange(16)[::-1] << 4)
    assert_same_floats(
        _native.dequantize("MXFP4", data, 256 * 32), reference("MXFP4", data).ravel()
    )


def test_blocks_may_lie_at_odd_addresses() -> None:
    data = np.random.default_rng(3).integers(0, 256, 1 + 144 * 4, dtype=np.uint8)
    got = _native.dequantize("Q4_K", data[1:], 1024)
    assert_same_floats(got, reference("Q4_K", data[1:].copy()))


def test_accepts_any_bytes_like_and_no_elements() -> None:
    data = bytes(range(34))
    want = reference("Q8_0", np.frombuffer(data, np.uint8))
    for view in (data, bytearray(data), memoryview(data)):
        assert_same_floats(_native.dequantize("Q8_0", view, 32), want)
    assert _native.dequantize("Q8_0", b"", 0).shape == (0,)


@pytest.mark.parametrize(
    ("name", "num_bytes", "num_elems", "message"),
    [
        ("Q9_Z", 34, 32, "unknown tensor type 'Q9_Z'; known: F32, F16"),
        ("I32", 128, 32, "unknown tensor type 'I32'"),
        ("Q8_0", 34, 31, "31 elements do not divide into Q8_0 blocks of 32"),
        ("Q8_0", 33, 32, "33 bytes for 32 elements of Q8_0"),
        ("Q8_0", 34, 64, "34 bytes for 64 elements"),
        ("Q8_0", 34, -32, "-32 elements"),
        ("F32", 4, 1 << 62, "4 bytes for 4611686018427387904 elements"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    name: str, num_bytes: int, num_elems: int, message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        _native.dequantize(name, bytes(num_bytes), num_elems)


def test_strided_bytes_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="not contiguous"):
        _native.dequantize("Q8_0", np.zeros(68, np.uint8)[::2], 32)
