"""The decoder of all causal models: pre-norm attention and gated feed-forward, with what
specs.py and the file's own tensors say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from . import gguf_model, ops
from .gguf_model import Array, GGUFModel
from .specs import DecoderSpec, decoder_spec


class Layer:
    """The tensors of one layer, by the part of their name after `blk.N.`."""

    def __init__(self, tensors: dict[str, Array], index: int) -> None:
        self._tensors, self._prefix, self.index = tensors, f"blk.{index}.", index

    def get(self, name: str) -> Array | None:
        return self._tensors.get(self._prefix + name)

    def linear(self, name: str, x: Array) -> Array:
        out = x @ self._tensors[f"{self._prefix}{name}.weight"].T
        bias = self.get(f"{name}.bias")
        return out if bias is None else out + bias


def _maybe_norm(layer: Layer, name: str, x: Array, eps: float) -> Array:
    weight = layer.get(f"{name}.weight")
    return x if weight is None else ops.rms_norm(x, weight, eps)


def _qkv(spec: DecoderSpec, layer: Layer, x: Array) -> list[Array]:
    """Three arrays [tokens, heads, dim], before norms and rope."""
    heads, kv_heads = spec.heads[layer.index], spec.kv_heads[layer.index]
    shapes = [(heads, spec.key_dim), (kv_heads, spec.key_dim), (kv_heads, spec.value_dim)]
    if layer.get("attn_qkv.weight") is not None:
        borders = np.cumsum([h * d for h, d in shapes])[:2]
        parts = np.split(layer.linear("attn_qkv", x), borders, axis=-1)
    else:
        parts = [layer.linear(f"attn_{name}", x) for name in "qkv"]
    return [p.reshape(len(x), *shape) for p, shape in zip(parts, shapes, strict=True)]


def _attention(spec: DecoderSpec, layer: Layer, x: Array, kv_type: str) -> Array:
    q, k, v = _qkv(spec, layer, x)
    q = _maybe_norm(layer, "attn_q_norm", q, spec.norm_eps)
    k = _maybe_norm(layer, "attn_k_norm", k, spec.norm_eps)
    rope = spec.ropes[layer.index]
    if rope is not None:
        q, k = rope(q), rope(k)
    k, v = ops.as_stored(k, kv_type), ops.as_stored(v, kv_type)
    mask = ops.causal_mask(len(x), spec.windows[layer.index])
    mixed = ops.attention(q, k, v, mask, spec.attention_scale, spec.attention_cap)
    return layer.linear("attn_output", mixed)


def _feed_forward(spec: DecoderSpec, layer: Layer, x: Array) -> Array:
    up = layer.linear("ffn_up", x)
    if layer.get("ffn_gate.weight") is None:  # both in one tensor, the gate first
        gate, up = np.split(up, 2, axis=-1)
    else:
        gate = layer.linear("ffn_gate", x)
    return layer.linear("ffn_down", spec.activation(gate) * up)


def _block(spec: DecoderSpec, layer: Layer, x: Array, kv_type: str) -> Array:
    branch = _attention(spec, layer, _maybe_norm(layer, "attn_norm", x, spec.norm_eps), kv_type)
    branch = _maybe_norm(layer, "post_attention_norm", branch, spec.norm_eps)
    x = x + spec.residual_scale * branch
    branch = _feed_forward(spec, layer, _maybe_norm(layer, "ffn_norm", x, spec.norm_eps))
    branch = _maybe_norm(layer, "post_ffw_norm", branch, spec.norm_eps)
    return x + spec.residual_scale * branch


def forward(
    model: GGUFModel,
    ids: npt.ArrayLike,
    context_length: int | None = None,
    kv_type: str = "f32",
) -> Array:
    """Logits [tokens, vocabulary], float64."""
    spec, tensors = decoder_spec(model, context_length), model.tensors
    x = tensors["token_embd.weight"][np.asarray(ids)] * spec.embedding_scale
    for index in range(spec.layers):
        x = _block(spec, Layer(tensors, index), x, kv_type)
    x = ops.rms_norm(x, tensors["output_norm.weight"], spec.norm_eps)
    head = tensors.get("output.weight", tensors["token_embd.weight"])
    logits = x @ head.T
    if (bias := tensors.get("output.bias")) is not None:
        logits = logits + bias
    return ops.soft_cap(logits / spec.logit_divisor, spec.logit_cap)


def reference_logits(
    path: str | Path,
    ids: Sequence[int] | npt.NDArray[np.int32],
    context_length: int | None = None,
    kv_type: str = "f32",
) -> npt.NDArray[np.float32]:
    """Logits float32 [tokens, vocabulary] of one sequence of token ids, at every position.

    `context_length` is what the engine would be configured with; it matters to phi3's long rope
    only. None: the length in the file. Keys (rotated) and values are rounded as a cache of
    `kv_type` (f32, f16, bf16, q8_0) keeps them.
    """
    return forward(gguf_model.load(path), ids, context_length, kv_type).astype(np.float32)
