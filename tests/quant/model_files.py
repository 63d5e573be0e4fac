"""Small GGUF models with random weights, written with the `gguf` package."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from pyslm.quant_mix import MIXES


def write_model(
    path: Path,
    *,
    arch: str = "llama",
    layers: int = 4,
    width: int = 256,
    ffn: int = 512,
    heads: int = 8,
    kv_heads: int = 2,
    experts: int = 0,
    tied: bool = False,
    fused: bool = False,
    dtype: np.dtype | type = np.float16,
    rows: int = 8,
    align: int = 32,
) -> Path:
    """A file with the tensors of such a model; matrices have `rows` rows, for speed."""
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, arch)
    if align != 32:
        writer.add_custom_alignment(align)
    writer.add_name("random")
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
    writer.add_file_type(MIXES["F16"].file_type)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([b"<unk>", b"<s>", b"</s>", b"\xff\xfe", *(b"t%d" % i for i in range(4))])
    writer.add_token_scores([0.0, -0.5, 1e-7, -np.inf, 1.0, 2.0, 3.0, 4.0])
    writer.add_bool("test.flag", True)
    writer.add_float64("test.double", 0.1)
    writer.add_int64("test.long", -(2**62))
    writer.add_array("test.bools", [True, False])
    writer.add_string("test.text", "übergrößig")

    def matrix(name: str, cols: int, *outer: int) -> None:
        shape = (*(outer or (rows,)), cols)
        writer.add_tensor(name, (rng.standard_normal(shape) * 0.02).astype(dtype))

    def vector(name: str, size: int) -> None:
        writer.add_tensor(name, rng.standard_normal(size).astype(np.float32))

    matrix("token_embd.weight", width)
    vector("output_norm.weight", width)
    if not tied:
        matrix("output.weight", width)
    for i in range(layers):
        vector(f"blk.{i}.attn_norm.weight", width)
        names = ["attn_qkv"] if fused else ["attn_q", "attn_k", "attn_v"]
        for name in [*names, "attn_output"]:
            matrix(f"blk.{i}.{name}.weight", width)
        vector(f"blk.{i}.ffn_norm.weight", width)
        if experts:
            matrix(f"blk.{i}.ffn_gate_inp.weight", width, experts)
            for name, cols in (("gate", width), ("up", width), ("down", ffn)):
                matrix(f"blk.{i}.ffn_{name}_exps.weight", cols, experts, rows)
        else:
            for name, cols in (("gate", width), ("up", width), ("down", ffn)):
                matrix(f"blk.{i}.ffn_{name}.weight", cols)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
