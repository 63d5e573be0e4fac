"""Writes a LoRA adapter as llama.cpp has them in GGUF."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from pyslm import _native
from pyslm.convert.decoder import permute_rope
from pyslm.convert.family import tensor_name

__all__ = ["ALPHA_OVER_RANK", "write_adapter"]

_KINDS = {
    "q_proj": gguf.MODEL_TENSOR.ATTN_Q,
    "k_proj": gguf.MODEL_TENSOR.ATTN_K,
    "v_proj": gguf.MODEL_TENSOR.ATTN_V,
    "o_proj": gguf.MODEL_TENSOR.ATTN_OUT,
    "gate_proj": gguf.MODEL_TENSOR.FFN_GATE,
    "up_proj": gguf.MODEL_TENSOR.FFN_UP,
    "down_proj": gguf.MODEL_TENSOR.FFN_DOWN,
}
ALPHA_OVER_RANK = 2


def write_adapter(
    matrices: Iterable[tuple[int, str, npt.NDArray[Any], npt.NDArray[Any]]],
    base: Path,
    rank: int,
    out: Path,
) -> Path:
    """Writes `out` and gives it.

    Args:
        matrices: layer, module, A [rank, columns] and B [rows, rank], in the checkpoint's order.
        base: the model's file, which decides the architecture and the order of channels.
    """
    reader = _native.GGUFReader(base)
    architecture = reader.get("general.architecture")
    heads = reader.get(f"{architecture}.attention.head_count")
    kv_heads = reader.get(f"{architecture}.attention.head_count_kv", heads)
    writer = gguf.GGUFWriter(out, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, ALPHA_OVER_RANK * rank)
    for layer, module, a, b in matrices:
        if architecture == "llama" and module in ("q_proj", "k_proj"):
            # Rope turns neighbouring channels in llama's files, and halves in its checkpoints.
            b = permute_rope(b, heads=heads if module == "q_proj" else kv_heads)
        name = tensor_name(_KINDS[module], layer)
        writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(a))
        writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
