"""LoRA adapters for tests: written as llama.cpp's converter does, and merged into a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

from .rewrite import Floats, Kind, finish, rewrite

LINEARS = (
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_qkv",
    "attn_output",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)

Deltas = dict[str, tuple[Floats, Floats]]
"""Name of a base tensor -> A [rank, inputs] and B [outputs, rank]."""


def random_deltas(
    model: Path, rank: int, seed: int, names: Sequence[str] = LINEARS, size: float = 0.3
) -> Deltas:
    """For every linear layer of those names; the change is about `size` of the weights."""
    rng = np.random.default_rng(seed)
    deltas: Deltas = {}
    for tensor in gguf.GGUFReader(model).tensors:
        parts = tensor.name.split(".")
        if len(parts) != 4 or parts[2] not in names or parts[3] != "weight":
            continue
        inputs, outputs = (int(n) for n in tensor.shape)
        spread = float(gguf.quants.dequantize(tensor.data, tensor.tensor_type).std())
        a = rng.standard_normal((rank, inputs), dtype=np.float32)
        b = rng.standard_normal((outputs, rank), dtype=np.float32) * np.float32(
            size * spread / np.sqrt(rank)
        )
        deltas[tensor.name] = (a, b)
    return deltas


def write_adapter(
    path: Path,
    architecture: str,
    deltas: Deltas,
    *,
    alpha: float,
    kind: Kind = Kind.F32,
    general_type: str = "adapter",
    adapter_type: str = "lora",
) -> Path:
    """A GGUF adapter file."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string("general.type", general_type)
    writer.add_string("adapter.type", adapter_type)
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, pair in deltas.items():
        for half, values in zip(("a", "b"), pair, strict=True):
            raw = gguf.quants.quantize(values, kind)
            writer.add_tensor(f"{name}.lora_{half}", raw, raw_dtype=kind)
    finish(writer)
    return path


def merged(model: Path, target: Path, deltas: Deltas, alpha: float) -> Path:
    """The model with W + alpha / rank * B A in place of W."""

    def add(tensors: dict[str, Floats]) -> dict[str, Floats]:
        out = dict(tensors)
        for name, (a, b) in deltas.items():
            change = (b.astype(np.float64) @ a.astype(np.float64)) * (alpha / a.shape[0])
            out[name] = (tensors[name] + change).astype(np.float32)
        return out

    return rewrite(model, target, tensors=add)
