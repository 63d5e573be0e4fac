"""Random and extreme blocks of every weight format, and exact products to compare kernels with."""

from __future__ import annotations

import gguf
import numpy as np
from numpy.typing import NDArray

from pyslm import _native

FORMATS: list[str] = list(_native.weight_formats())
FLOAT_FORMATS = ("F32", "F16", "BF16")

# Products that a tier computes in arithmetic of its own, with a tolerance of its own: test_bf16.py.
OWN_ARITHMETIC = {("avx512bf16", "BF16")}

# Byte offsets of the half-precision scales (and minima) within a block.
HALF_OFFSETS = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
    "IQ4_NL": (0,), "IQ4_XS": (0,), "MXFP4": (),
}  # fmt: skip

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def exact_tiers() -> list[str]:
    """Tiers of this CPU whose bits are those of the scalar one (but for OWN_ARITHMETIC)."""
    return [tier for tier in _native.isa_info()["supported"] if tier != "scalar"]


def block_size(name: str) -> tuple[int, int]:
    """Elements and bytes of one block."""
    elems, num_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    return int(elems), int(num_bytes)


def put_halfs(name: str, blocks: Bytes, halfs: NDArray[np.float16]) -> None:
    """Sets every scale of blocks [n, bytes] to `halfs` [n, number of scales]."""
    for i, offset in enumerate(HALF_OFFSETS[name]):
        blocks[:, offset : offset + 2] = halfs[:, i : i + 1].view(np.uint8)


def random_weight(name: str, rows: int, cols: int, seed: int = 0) -> Bytes:
    """File blocks [rows, row bytes]: random codes under scales of ordinary size."""
    rng = np.random.default_rng([seed, rows, cols])
    if name in FLOAT_FORMATS:
        w = rng.standard_normal((rows, cols)).astype(np.float32)
        if name == "F16":
            return w.astype(np.float16).view(np.uint8)
        return w.view(np.uint8) if name == "F32" else to_bf16(w).view(np.uint8)
    elems, num_bytes = block_size(name)
    blocks = rng.integers(0, 256, (rows * cols // elems, num_bytes), dtype=np.uint8)
    scales = rng.uniform(1e-3, 1e-1, (len(blocks), 2)) * rng.choice([-1, 1], (len(blocks), 2))
    put_halfs(name, blocks, scales.astype(np.float16))
    if name == "MXFP4":
        blocks[:, 0] = rng.integers(118, 130, len(blocks))
    return blocks.reshape(rows, -1)


def to_bf16(x: Floats) -> NDArray[np.uint16]:
    """Nearest bfloat16, ties to even; x finite."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def decode(name: str, blocks: Bytes) -> Floats:
    """Weights [rows, cols] as the `gguf` package decodes them."""
    kind = gguf.GGMLQuantizationType[name]
    return np.asarray(gguf.quants.dequantize(blocks, kind), np.float32)


def quantized_activations(x: Floats) -> NDArray[np.float64]:
    """x [m, cols] in int8 blocks of 32 (d = max|x| / 127, nearest even), back as float64."""
    blocks = x.reshape(len(x), -1, 32)
    top = np.abs(blocks).max(axis=2, keepdims=True)
    inverse = np.where(top > 0, np.float32(127) / np.where(top > 0, top, np.float32(1)), 0)
    codes = np.rint(blocks * inverse.astype(np.float32))
    return (codes.astype(np.float64) * (top / np.float32(127)).astype(np.float64)).reshape(x.shape)


def exact_product(
    name: str, blocks: Bytes, x: Floats
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x times the weight's transpose in float64 [m, rows], and the sums of absolute products."""
    w = decode(name, blocks).astype(np.float64)
    a = x.astype(np.float64) if name in FLOAT_FORMATS else quantized_activations(x)
    return a @ w.T, np.abs(a) @ np.abs(w).T
