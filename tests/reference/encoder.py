"""The bidirectional encoders: bert (Devlin et al. 2018) and nomic-bert (Nussbaum et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from . import gguf_model, ops
from .decoder import Layer
from .gguf_model import Array, GGUFModel


def _norm(model: GGUFModel, name: str, x: Array) -> Array:
    eps = model.require("attention.layer_norm_epsilon")
    return ops.layer_norm(x, model.tensors[f"{name}.weight"], model.tensors[f"{name}.bias"], eps)


def _embed(model: GGUFModel, ids: npt.ArrayLike) -> Array:
    """Words, the first kind of segment, and learned positions where the file has them."""
    tensors = model.tensors
    x = tensors["token_embd.weight"][np.asarray(ids)]
    if (types := tensors.get("token_types.weight")) is not None:
        x = x + types.reshape(-1, x.shape[-1])[0]
    if (positions := tensors.get("position_embd.weight")) is not None:
        x = x + positions[: len(x)]
    return _norm(model, "token_embd_norm", x)


def _attention(model: GGUFModel, layer: Layer, x: Array, kv_type: str) -> Array:
    heads = model.require("attention.head_count")
    if layer.get("attn_qkv.weight") is not None:
        parts = np.split(layer.linear("attn_qkv", x), 3, axis=-1)
    else:
        parts = [layer.linear(f"attn_{name}", x) for name in "qkv"]
    q, k, v = (p.reshape(len(x), heads, -1) for p in parts)
    if model.arch == "nomic-bert":
        frequencies = ops.rope_frequencies(q.shape[-1], model.get("rope.freq_base", 10000.0))
        angles = np.arange(len(x))[:, None] * frequencies
        q, k = ops.rotate_halves(q, angles), ops.rotate_halves(k, angles)
    k, v = ops.as_stored(k, kv_type), ops.as_stored(v, kv_type)
    no_mask = np.zeros((len(x), len(x)))
    return layer.linear("attn_output", ops.attention(q, k, v, no_mask, q.shape[-1] ** -0.5))


def _feed_forward(layer: Layer, x: Array) -> Array:
    up = layer.linear("ffn_up", x)
    if layer.get("ffn_gate.weight") is None:
        return layer.linear("ffn_down", ops.gelu_erf(up))
    return layer.linear("ffn_down", ops.silu(layer.linear("ffn_gate", x)) * up)


def forward(model: GGUFModel, ids: npt.ArrayLike, kv_type: str = "f32") -> Array:
    """The last layer's states [tokens, hidden], float64. Norms follow the residual sums."""
    x = _embed(model, ids)
    for index in range(model.require("block_count")):
        layer = Layer(model.tensors, index)
        x = _norm(model, f"blk.{index}.attn_output_norm", x + _attention(model, layer, x, kv_type))
        x = _norm(model, f"blk.{index}.layer_output_norm", x + _feed_forward(layer, x))
    return x


def pool(states: Array, pooling_type: int) -> Array:
    """One vector [hidden] of length 1 from [tokens, hidden]."""
    kind = gguf.PoolingType(pooling_type)
    if kind == gguf.PoolingType.MEAN:
        vector = states.mean(axis=0)
    elif kind == gguf.PoolingType.CLS:
        vector = states[0]
    elif kind == gguf.PoolingType.LAST:
        vector = states[-1]
    else:
        raise NotImplementedError(kind.name)
    return np.asarray(vector / np.linalg.norm(vector))


def reference_rank(
    path: str | Path, ids: Sequence[int] | npt.NDArray[np.int32], kv_type: str = "f32"
) -> float:
    """The score of BERT's sequence classifiers: output(tanh(dense(first state)))."""
    model = gguf_model.load(path)
    first, tensors = forward(model, ids, kv_type)[0], model.tensors
    if "cls.weight" in tensors:
        first = np.tanh(tensors["cls.weight"] @ first + tensors["cls.bias"])
    return float((tensors["cls.output.weight"] @ first + tensors["cls.output.bias"]).item())


def reference_token_embeddings(
    path: str | Path, ids: Sequence[int] | npt.NDArray[np.int32]
) -> npt.NDArray[np.float32]:
    """The last layer's states, float32 [tokens, hidden], of one text's token ids."""
    return forward(gguf_model.load(path), ids).astype(np.float32)


def reference_embedding(
    path: str | Path, ids: Sequence[int] | npt.NDArray[np.int32], kv_type: str = "f32"
) -> npt.NDArray[np.float32]:
    """One text's embedding, float32 [hidden], pooled as the file says and of length 1. Keys
    (rotated) and values are rounded as a cache of `kv_type` keeps them."""
    model = gguf_model.load(path)
    return pool(forward(model, ids, kv_type), model.require("pooling_type")).astype(np.float32)
