"""Writes GGUF models of a few kilobytes, complete or with chosen faults."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

HIDDEN, LAYERS, HEADS, KV_HEADS, FFN, VOCAB, CONTEXT = 64, 4, 4, 2, 96, 80, 256
HEAD_DIM = HIDDEN // HEADS
QKV_ROWS = {"q": HEADS * HEAD_DIM, "k": KV_HEADS * HEAD_DIM, "v": KV_HEADS * HEAD_DIM}

SIZES: dict[str, Any] = {
    "context_length": CONTEXT,
    "embedding_length": HIDDEN,
    "block_count": LAYERS,
    "feed_forward_length": FFN,
    "attention.head_count": HEADS,
    "attention.head_count_kv": KV_HEADS,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 10000.0,
}


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        (writer.add_uint32 if 0 <= value < 2**32 else writer.add_int64)(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def decoder_tensors(
    *, fused: bool = False, qk_norm: bool = False, post_norms: bool = False, qkv_bias: bool = False
) -> dict[str, Array]:
    """Random float32 tensors of a decoder, norms near 1."""
    rng = np.random.default_rng(0)

    def matrix(rows: int, cols: int) -> Array:
        return rng.normal(0, 0.1, (rows, cols)).astype(np.float32)

    def norm(n: int) -> Array:
        return rng.normal(1, 0.1, n).astype(np.float32)

    tensors = {"token_embd.weight": matrix(VOCAB, HIDDEN), "output_norm.weight": norm(HIDDEN)}
    for i in range(LAYERS):
        layer: dict[str, Array] = {"attn_norm": norm(HIDDEN), "ffn_norm": norm(HIDDEN)}
        if fused:
            layer["attn_qkv"] = matrix(sum(QKV_ROWS.values()), HIDDEN)
            layer["ffn_up"] = matrix(2 * FFN, HIDDEN)
        else:
            layer |= {f"attn_{n}": matrix(r, HIDDEN) for n, r in QKV_ROWS.items()}
            layer |= {"ffn_gate": matrix(FFN, HIDDEN), "ffn_up": matrix(FFN, HIDDEN)}
        if qk_norm:
            layer |= {"attn_q_norm": norm(HEAD_DIM), "attn_k_norm": norm(HEAD_DIM)}
        if post_norms:
            layer |= {"post_attention_norm": norm(HIDDEN), "post_ffw_norm": norm(HIDDEN)}
        layer |= {"attn_output": matrix(HIDDEN, HIDDEN), "ffn_down": matrix(HIDDEN, FFN)}
        tensors |= {f"blk.{i}.{name}.weight": value for name, value in layer.items()}
        if qkv_bias:
            for name, rows in QKV_ROWS.items():
                tensors[f"blk.{i}.attn_{name}.bias"] = matrix(1, rows)[0]
    return tensors


TENSORS: dict[str, dict[str, bool]] = {
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qk_norm": True},
    "phi3": {"fused": True},
    "gemma2": {"post_norms": True},
    "gemma3": {"qk_norm": True, "post_norms": True},
}


def write_decoder(
    path: Path,
    arch: str = "llama",
    *,
    keys: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
    tensors: Mapping[str, Array | None] | None = None,
) -> Path:
    """A decoder with the given metadata keys and tensors set, or left out (`without`, None)."""
    writer = gguf.GGUFWriter(path, arch)
    for key, value in (SIZES | dict(keys or {})).items():
        if key not in without:
            _add(writer, f"{arch}.{key}", value)
    for name, data in (decoder_tensors(**TENSORS.get(arch, {})) | dict(tensors or {})).items():
        if data is not None:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_encoder(path: Path, **keys: Any) -> Path:
    """A bert of one layer."""
    rng = np.random.default_rng(0)
    sizes = SIZES | {"block_count": 1, "attention.layer_norm_epsilon": 1e-12} | keys
    del sizes["attention.layer_norm_rms_epsilon"], sizes["attention.head_count_kv"]
    layer = [("attn_q", HIDDEN, HIDDEN), ("attn_k", HIDDEN, HIDDEN), ("attn_v", HIDDEN, HIDDEN)]
    layer += [("attn_output", HIDDEN, HIDDEN), ("ffn_up", FFN, HIDDEN), ("ffn_down", HIDDEN, FFN)]
    tensors: dict[str, Array] = {
        "token_embd.weight": rng.normal(0, 1, (VOCAB, HIDDEN)),
        "position_embd.weight": rng.normal(0, 1, (CONTEXT, HIDDEN)),
        "token_types.weight": rng.normal(0, 1, (2, HIDDEN)),
    }
    for name, rows, cols in layer:
        tensors[f"blk.0.{name}.weight"] = rng.normal(0, 0.1, (rows, cols))
        tensors[f"blk.0.{name}.bias"] = rng.normal(0, 0.1, rows)
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        tensors[f"{name}.weight"] = rng.normal(1, 0.1, HIDDEN)
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, HIDDEN)
    writer = gguf.GGUFWriter(path, "bert")
    for key, value in sizes.items():
        _add(writer, f"bert.{key}", value)
    for name, data in tensors.items():
        writer.add_tensor(name, data.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
