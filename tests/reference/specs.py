"""What each decoder architecture does differently, as data read from a GGUF file's metadata.

Sources: the models' published configurations and papers, and the GGUF keys' definitions.
Norms, biases and fused tensors are not listed: a tensor that is there is applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from . import ops
from .gguf_model import Array, GGUFModel


@dataclass(frozen=True, slots=True)
class LayerRope:
    """Rotation of one layer's queries and keys; `frequencies` in radians per position."""

    rotate: ops.Rotation
    frequencies: Array
    magnitude: float = 1.0

    def __call__(self, x: Array) -> Array:
        angles = np.arange(len(x))[:, None] * self.frequencies
        return self.rotate(x, angles, self.magnitude)


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """`ropes` and `windows` (0: none) have an entry for each layer; no rope is None."""

    heads: list[int]
    kv_heads: list[int]
    key_dim: int
    value_dim: int
    norm_eps: float
    ropes: list[LayerRope | None]
    windows: list[int]
    attention_scale: float
    activation: ops.Activation = ops.silu
    attention_cap: float = 0.0
    logit_cap: float = 0.0
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_divisor: float = 1.0

    @property
    def layers(self) -> int:
        return len(self.ropes)


def _rope(model: GGUFModel, rotate: ops.Rotation, n_rot: int, factors: Array | None) -> LayerRope:
    """Linear scaling (Chen et al. 2023) divides every angle by a factor; YaRN (Peng et al. 2023)
    those of low frequency only, and makes the rotated vectors longer."""
    base = model.get("rope.freq_base", 10000.0)
    frequencies = ops.rope_frequencies(n_rot, base, factors)
    magnitude = model.get("rope.scaling.attn_factor", 1.0)
    kind = model.get("rope.scaling.type", "none")
    if kind == "linear":
        frequencies = frequencies / model.require("rope.scaling.factor")
    elif kind == "yarn":
        factor = model.require("rope.scaling.factor")
        original = model.require("rope.scaling.original_context_length")
        share = ops.yarn_extrapolated_share(n_rot, base, original)
        frequencies = frequencies * (share + (1 - share) / factor)
        magnitude *= 1 + 0.1 * np.log(factor)
    return LayerRope(rotate, frequencies, magnitude)


def _base(model: GGUFModel, rotate: ops.Rotation, factors: Array | None = None) -> DecoderSpec:
    """The graph that all of them vary: llama's."""
    layers = model.require("block_count")
    heads = model.per_layer("attention.head_count")
    head_dim = model.require("embedding_length") // heads[0]
    key_dim = model.get("attention.key_length", head_dim)
    n_rot = model.get("rope.dimension_count", key_dim)
    rope = _rope(model, rotate, n_rot, factors)
    has_kv_heads = model.get("attention.head_count_kv") is not None
    return DecoderSpec(
        heads=heads,
        kv_heads=model.per_layer("attention.head_count_kv") if has_kv_heads else heads,
        key_dim=key_dim,
        value_dim=model.get("attention.value_length", head_dim),
        norm_eps=model.require("attention.layer_norm_rms_epsilon"),
        ropes=[rope] * layers,
        windows=[0] * layers,
        attention_scale=model.get("attention.scale") or key_dim**-0.5,
    )


def _llama(model: GGUFModel, context_length: int) -> DecoderSpec:
    """Llama 2 and 3: llama 3.1's frequency scaling is a tensor of factors."""
    del context_length
    return _base(model, ops.rotate_adjacent, model.tensors.get("rope_freqs.weight"))


def _qwen(model: GGUFModel, context_length: int) -> DecoderSpec:
    """Qwen2 (biases on q, k and v) and Qwen3 (a norm on each head of q and k)."""
    del context_length
    return _base(model, ops.rotate_halves)


def _phi3(model: GGUFModel, context_length: int) -> DecoderSpec:
    """Phi-3 and Phi-4-mini: LongRoPE (Ding et al. 2024) has one table of factors for contexts
    within the original length and one for longer; chosen by the configured context, not by the
    text at hand. Phi-3-mini-4k was trained with a window of 2047 tokens in every layer; the later
    models' window is longer than their context. (llama.cpp applies neither.)"""
    original = model.get("rope.scaling.original_context_length", model.require("context_length"))
    kind = "long" if context_length > original else "short"
    base = _base(model, ops.rotate_halves, model.tensors.get(f"rope_factors_{kind}.weight"))
    return replace(base, windows=[model.get("attention.sliding_window", 0)] * base.layers)


def _local_layers(model: GGUFModel, period: int) -> list[bool]:
    """Which layers see a window only: all but the last of each period, or as the file says."""
    pattern = model.get("attention.sliding_window_pattern", period)
    if isinstance(pattern, list):
        return [bool(here) for here in pattern]
    return [i % pattern < pattern - 1 for i in range(model.require("block_count"))]


def _gemma(model: GGUFModel, context_length: int) -> DecoderSpec:
    """Gemma (2024): GELU gates, and embeddings times the root of their size."""
    del context_length
    return replace(
        _base(model, ops.rotate_halves),
        activation=ops.gelu_tanh,
        embedding_scale=model.require("embedding_length") ** 0.5,
    )


def _gemma2(model: GGUFModel, context_length: int) -> DecoderSpec:
    """Gemma 2 (2024): layers alternate, local first; both soft caps."""
    del context_length
    base = _base(model, ops.rotate_halves)
    window = model.get("attention.sliding_window", 4096)
    return replace(
        base,
        windows=[window if here else 0 for here in _local_layers(model, period=2)],
        activation=ops.gelu_tanh,
        attention_cap=model.get("attn_logit_softcapping", 50.0),
        logit_cap=model.get("final_logit_softcapping", 30.0),
        embedding_scale=model.require("embedding_length") ** 0.5,
    )


def _gemma3(model: GGUFModel, context_length: int) -> DecoderSpec:
    """Gemma 3 (2025): five local layers, then a global one; the local ones rotate with a base of
    their own (10000) and without the global ones' scaling."""
    del context_length
    base = _base(model, ops.rotate_halves)
    window = model.get("attention.sliding_window", 0)
    is_local = [bool(window) and here for here in _local_layers(model, period=6)]
    n_rot = model.get("rope.dimension_count", base.key_dim)
    local_base = model.get("rope.freq_base_swa", 10000.0)
    local = LayerRope(ops.rotate_halves, ops.rope_frequencies(n_rot, local_base))
    return replace(
        base,
        windows=[window if here else 0 for here in is_local],
        ropes=[local if here else rope for here, rope in zip(is_local, base.ropes, strict=True)],
        activation=ops.gelu_tanh,
        logit_cap=model.get("final_logit_softcapping", 0.0),
        embedding_scale=model.require("embedding_length") ** 0.5,
    )


def _smollm3(model: GGUFModel, context_length: int) -> DecoderSpec:
    """SmolLM3: every fourth layer has no positions (NoPE, Yang et al. 2025)."""
    base = _llama(model, context_length)
    return replace(base, ropes=[None if i % 4 == 3 else r for i, r in enumerate(base.ropes)])


def _granite(model: GGUFModel, context_length: int) -> DecoderSpec:
    """Granite 3: multipliers on embeddings, residuals and attention; logits are divided. The flag
    `finetuned` says whether there is a rope at all."""
    base = _llama(model, context_length)
    has_rope = model.get("rope.scaling.finetuned", True)
    return replace(
        base,
        ropes=base.ropes if has_rope else [None] * base.layers,
        embedding_scale=model.get("embedding_scale") or 1.0,
        residual_scale=model.get("residual_scale") or 1.0,
        logit_divisor=model.get("logit_scale") or 1.0,
    )


_SPECS: dict[str, Callable[[GGUFModel, int], DecoderSpec]] = {
    "llama": _llama,
    "qwen2": _qwen,
    "qwen3": _qwen,
    "phi3": _phi3,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "smollm3": _smollm3,
    "granite": _granite,
}


def decoder_spec(model: GGUFModel, context_length: int | None = None) -> DecoderSpec:
    """The spec of a file for a configured context (None: the one it was trained for)."""
    return _SPECS[model.arch](model, context_length or model.require("context_length"))
