"""A converted decoder computes what the checkpoint's own conventions say.

The oracle is a float64 forward pass over the safetensors, with rope on halves as transformers has
it; the model under test runs the converted GGUF file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tiny_models import HEADS, HIDDEN, KV_HEADS, LAYERS, Tensors, write_decoder

from pyslm._native import Model
from pyslm.convert import convert
from pyslm.convert.config import Config
from pyslm.convert.decoder import llama3_rope_factors

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
EPSILON, THETA = 1e-5, 10000.0


def rms_norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * weight


def rope_on_halves(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """x: [tokens, heads, dim]; channel i turns with channel i + dim / 2."""
    half = x.shape[-1] // 2
    frequencies = THETA ** (-np.arange(half) / half) / factors
    angles = (np.arange(len(x))[:, None] * frequencies)[:, None, :]
    a, b = x[..., :half], x[..., half:]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def transformers_logits(
    weights: Tensors, ids: np.ndarray, head_dim: int, factors: np.ndarray
) -> np.ndarray:
    """[tokens, vocab] in float64."""
    w = {name: values.astype(np.float64) for name, values in weights.items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)

    x = w["model.embed_tokens.weight"][ids]
    mask = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        y = rms_norm(x, w[f"{layer}input_layernorm.weight"])
        q, k, v = (
            linear(y, f"{layer}self_attn.{name}_proj").reshape(len(ids), heads, head_dim)
            for name, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS))
        )
        if f"{layer}self_attn.q_norm.weight" in w:
            q = rms_norm(q, w[f"{layer}self_attn.q_norm.weight"])
            k = rms_norm(k, w[f"{layer}self_attn.k_norm.weight"])
        k = np.repeat(rope_on_halves(k, factors), HEADS // KV_HEADS, axis=1)
        v = np.repeat(v, HEADS // KV_HEADS, axis=1)
        scores = np.einsum("qhd,khd->hqk", rope_on_halves(q, factors), k) / np.sqrt(head_dim) + mask
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        attended = np.einsum("hqk,khd->qhd", scores, v).reshape(len(ids), -1)
        x = x + linear(attended, f"{layer}self_attn.o_proj")
        y = rms_norm(x, w[f"{layer}post_attention_layernorm.weight"])
        gate = linear(y, f"{layer}mlp.gate_proj")
        y = gate / (1 + np.exp(-gate)) * linear(y, f"{layer}mlp.up_proj")
        x = x + linear(y, f"{layer}mlp.down_proj")
    head = "lm_head" if "lm_head.weight" in w else "model.embed_tokens"
    return rms_norm(x, w["model.norm.weight"]) @ w[f"{head}.weight"].T


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("LlamaForCausalLM", {}),
        ("LlamaForCausalLM", {"tied": True, "config": {"rope_scaling": LLAMA3}}),
        ("LlamaForCausalLM", {"qkv_bias": True, "other_bias": True}),
        ("MistralForCausalLM", {"head_dim": 32, "config": {"head_dim": 32}}),
        ("Qwen2ForCausalLM", {"qkv_bias": True, "tied": True}),
        ("Qwen3ForCausalLM", {"qk_norm": True, "head_dim": 128}),
    ],
)
def test_logits_of_the_converted_model(
    tmp_path: Path, architecture: str, options: dict[str, Any]
) -> None:
    folder = tmp_path / "hf"
    weights = write_decoder(folder, architecture, **options)
    # Attention and logits of ordinary size.
    weights = {n: w * np.float32(HIDDEN**-0.5 if w.ndim == 2 else 1) for n, w in weights.items()}
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
    convert(folder, tmp_path / "m.gguf", "f32")
    ids = np.random.default_rng(3).integers(0, 280, 40, dtype=np.int32)
    head_dim = options.get("head_dim", HIDDEN // HEADS)
    factors = np.ones(head_dim // 2)
    if "rope_scaling" in options.get("config", {}):
        factors = llama3_rope_factors(Config(folder, {**LLAMA3, "rope_theta": THETA}), head_dim)
        assert factors.max() > 1
    expected = transformers_logits(weights, ids, head_dim, factors)
    model = Model(str(tmp_path / "m.gguf"), threads=1, context_length=64, max_sequences=1)
    got = model.logits(ids)
    assert got.shape == expected.shape == (40, len(weights["model.embed_tokens.weight"]))
    error = np.abs(got - expected).max() / expected.std()
    # The cache keeps keys and values in F16.
    assert error < 5e-3
    assert (got.argmax(-1) == expected.argmax(-1)).mean() > 0.95
