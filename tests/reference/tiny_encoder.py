"""Writes small bert and nomic-bert files with random weights."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from .rewrite import Floats, Kind, add_weight, finish
from .tiny_vocab import VOCAB_SIZE, add_wordpiece_vocab

HIDDEN, LAYERS, HEADS, FFN, CONTEXT = 128, 3, 4, 256, 256


class _Writer:
    def __init__(self, writer: gguf.GGUFWriter, kind: Kind, seed: int) -> None:
        self.writer, self.kind, self.rng = writer, kind, np.random.default_rng(seed)

    def normal(self, *shape: int, std: float, mean: float = 0.0) -> Floats:
        return (mean + std * self.rng.standard_normal(shape)).astype(np.float32)

    def linear(self, name: str, rows: int, cols: int, bias: bool) -> None:
        weight = self.normal(rows, cols, std=1.2 / cols**0.5)
        add_weight(self.writer, f"{name}.weight", weight, self.kind)
        if bias:
            add_weight(self.writer, f"{name}.bias", self.normal(rows, std=0.2), Kind.F32)

    def norm(self, name: str) -> None:
        weight = self.normal(HIDDEN, std=0.1, mean=1.0)
        add_weight(self.writer, f"{name}.weight", weight, Kind.F32)
        add_weight(self.writer, f"{name}.bias", self.normal(HIDDEN, std=0.1), Kind.F32)


def _metadata(writer: gguf.GGUFWriter, arch: str, pooling: gguf.PoolingType) -> None:
    writer.add_name(f"tiny {arch}")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_vocab_size(VOCAB_SIZE)
    if arch == "nomic-bert":
        writer.add_rope_freq_base(1000.0)
    add_wordpiece_vocab(writer)


def _layer(out: _Writer, index: int, nomic: bool) -> None:
    prefix = f"blk.{index}."
    if nomic:
        out.linear(prefix + "attn_qkv", 3 * HIDDEN, HIDDEN, bias=False)
    else:
        for part in "qkv":
            out.linear(f"{prefix}attn_{part}", HIDDEN, HIDDEN, bias=True)
    out.linear(prefix + "attn_output", HIDDEN, HIDDEN, bias=not nomic)
    out.norm(prefix + "attn_output_norm")
    if nomic:
        out.linear(prefix + "ffn_gate", FFN, HIDDEN, bias=False)
    out.linear(prefix + "ffn_up", FFN, HIDDEN, bias=not nomic)
    out.linear(prefix + "ffn_down", HIDDEN, FFN, bias=not nomic)
    out.norm(prefix + "layer_output_norm")


def write_tiny_encoder(
    path: str | Path,
    arch: str,
    *,
    pooling: gguf.PoolingType = gguf.PoolingType.MEAN,
    kind: Kind = Kind.F32,
    seed: int = 0,
    rank_dense: bool = True,
) -> Path:
    """Writes a model of arch `bert` or `nomic-bert`; `kind` is the type of its matrices. With rank
    pooling it has a head that ranks, of two layers unless `rank_dense` is false."""
    writer = gguf.GGUFWriter(path, arch)
    _metadata(writer, arch, pooling)
    out = _Writer(writer, kind, seed)
    add_weight(writer, "token_embd.weight", out.normal(VOCAB_SIZE, HIDDEN, std=1.0), kind)
    add_weight(writer, "token_types.weight", out.normal(2, HIDDEN, std=0.3), Kind.F32)
    if arch == "bert":
        positions = out.normal(CONTEXT, HIDDEN, std=0.3)
        add_weight(writer, "position_embd.weight", positions, Kind.F32)
    out.norm("token_embd_norm")
    for index in range(LAYERS):
        _layer(out, index, nomic=arch == "nomic-bert")
    if pooling == gguf.PoolingType.RANK:
        if rank_dense:
            out.linear("cls", HIDDEN, HIDDEN, bias=True)
        out.linear("cls.output", 1, HIDDEN, bias=True)
    finish(writer)
    return Path(path)
