"""What llama, qwen2 and qwen3 share: RMS norms, grouped-query attention, rope, SwiGLU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from gguf import MODEL_TENSOR, GGUFWriter, RopeScalingType

from pyslm.convert.checkpoint import Floats
from pyslm.convert.config import Config
from pyslm.convert.family import Target, linear, tensor_name
from pyslm.errors import ModelFileError, UnsupportedModelError

__all__ = ["Decoder", "llama3_rope_factors", "permute_rope"]

IGNORED = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")


@dataclass(frozen=True, slots=True)
class Decoder:
    """The numbers of a decoder's config.json; sizes in elements, context in tokens."""

    config: Config
    vocab_size: int
    context_length: int
    hidden: int
    layers: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool

    @classmethod
    def read(cls, config: Config, head_dim: int | None = None) -> Decoder:
        hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
        if not config.has("head_dim") and head_dim is None and hidden % heads:
            raise ModelFileError(
                f"{config.path}: 'hidden_size' is {hidden}, no multiple of the {heads} heads"
            )
        self = cls(
            config,
            vocab_size=config.integer("vocab_size"),
            context_length=config.integer("max_position_embeddings"),
            hidden=hidden,
            layers=config.integer("num_hidden_layers"),
            ffn=config.integer("intermediate_size"),
            heads=heads,
            kv_heads=config.integer("num_key_value_heads", heads),
            head_dim=config.integer("head_dim", head_dim or hidden // heads),
            tied=config.flag("tie_word_embeddings"),
        )
        if self.heads % self.kv_heads:
            raise ModelFileError(
                f"{config.path}: 'num_key_value_heads' is {self.kv_heads}; it must divide {heads}"
            )
        if self.head_dim % 2:
            raise ModelFileError(f"{config.path}: 'head_dim' is {self.head_dim}; it must be even")
        config.require("hidden_act", ["silu", "swish"])
        config.require("partial_rotary_factor", [1.0])
        config.require("use_sliding_window", [False])
        layer_types = config.values.get("layer_types") or []
        if any(kind != "full_attention" for kind in layer_types):
            raise UnsupportedModelError(
                f"{config.path}: 'layer_types' names {sorted(set(map(str, layer_types)))}; "
                "supported: full_attention in every layer"
            )
        return self

    def rope(self) -> Config:
        """The rope settings: transformers 5 keeps all of them in one object, 4 beside it."""
        scaling = self.config.child("rope_parameters") or self.config.child("rope_scaling")
        values: dict[str, Any] = {"rope_theta": self.config.values.get("rope_theta")}
        for key, value in (scaling.values if scaling else {}).items():
            values["rope_type" if key == "type" else key] = value
        return Config(self.config.path, values)

    def add_metadata(self, writer: GGUFWriter) -> None:
        writer.add_context_length(self.context_length)
        writer.add_embedding_length(self.hidden)
        writer.add_block_count(self.layers)
        writer.add_feed_forward_length(self.ffn)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.kv_heads)
        writer.add_layer_norm_rms_eps(self.config.number("rms_norm_eps", 1e-6))
        writer.add_vocab_size(self.vocab_size)
        if self.config.has("head_dim") or self.head_dim * self.heads != self.hidden:
            writer.add_key_length(self.head_dim)
            writer.add_value_length(self.head_dim)
        writer.add_rope_dimension_count(self.head_dim)
        rope = self.rope()
        writer.add_rope_freq_base(rope.number("rope_theta", 10000.0))
        _add_rope_scaling(writer, rope)

    def targets(
        self,
        *,
        qkv_bias: bool | None = False,
        output_bias: bool | None = False,
        ffn_bias: bool | None = False,
        qk_norm: bool = False,
        interleaved_rope: bool = False,
    ) -> Iterator[Target]:
        """All tensors; `interleaved_rope` reorders q and k for rope on neighbouring channels."""
        yield from linear(
            MODEL_TENSOR.TOKEN_EMBD, "model.embed_tokens", self.vocab_size, self.hidden
        )
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        permute_q = partial(permute_rope, heads=self.heads) if interleaved_rope else None
        permute_k = partial(permute_rope, heads=self.kv_heads) if interleaved_rope else None
        for i in range(self.layers):
            attention, mlp = f"model.layers.{i}.self_attn.", f"model.layers.{i}.mlp."
            yield self._norm(MODEL_TENSOR.ATTN_NORM, f"model.layers.{i}.input_layernorm", i)
            for kind, letter, rows, permute in (
                (MODEL_TENSOR.ATTN_Q, "q", q, permute_q),
                (MODEL_TENSOR.ATTN_K, "k", kv, permute_k),
                (MODEL_TENSOR.ATTN_V, "v", kv, None),
            ):
                yield from linear(
                    kind, f"{attention}{letter}_proj", rows, self.hidden,
                    layer=i, bias=qkv_bias, transform=permute,
                )  # fmt: skip
            if qk_norm:
                yield self._norm(MODEL_TENSOR.ATTN_Q_NORM, f"{attention}q_norm", i, self.head_dim)
                yield self._norm(MODEL_TENSOR.ATTN_K_NORM, f"{attention}k_norm", i, self.head_dim)
            yield from linear(
                MODEL_TENSOR.ATTN_OUT,
                f"{attention}o_proj",
                self.hidden,
                q,
                layer=i,
                bias=output_bias,
            )
            yield self._norm(MODEL_TENSOR.FFN_NORM, f"model.layers.{i}.post_attention_layernorm", i)
            for kind, name, rows, columns in (
                (MODEL_TENSOR.FFN_GATE, "gate_proj", self.ffn, self.hidden),
                (MODEL_TENSOR.FFN_UP, "up_proj", self.ffn, self.hidden),
                (MODEL_TENSOR.FFN_DOWN, "down_proj", self.hidden, self.ffn),
            ):
                yield from linear(kind, mlp + name, rows, columns, layer=i, bias=ffn_bias)
        yield self._norm(MODEL_TENSOR.OUTPUT_NORM, "model.norm")
        if not self.tied:
            yield from linear(MODEL_TENSOR.OUTPUT, "lm_head", self.vocab_size, self.hidden)

    def _norm(
        self, kind: MODEL_TENSOR, source: str, layer: int | None = None, size: int | None = None
    ) -> Target:
        return Target(tensor_name(kind, layer), f"{source}.weight", (size or self.hidden,))


def _add_rope_scaling(writer: GGUFWriter, rope: Config) -> None:
    kind = rope.text("rope_type", "default")
    if kind in ("default", "llama3"):  # llama3's factors are a tensor
        return
    if kind not in ("linear", "yarn"):
        raise UnsupportedModelError(
            f"{rope.path}: rope type '{kind}'; supported: default, linear, yarn, llama3"
        )
    writer.add_rope_scaling_type(RopeScalingType(kind))
    writer.add_rope_scaling_factor(rope.number("factor"))
    if kind == "yarn":
        for key in ("attention_factor", "mscale", "mscale_all_dim"):
            rope.require(key, [])
        writer.add_rope_scaling_orig_ctx_len(rope.integer("original_max_position_embeddings"))
        if rope.has("beta_fast"):
            writer.add_rope_scaling_yarn_beta_fast(rope.number("beta_fast"))
        if rope.has("beta_slow"):
            writer.add_rope_scaling_yarn_beta_slow(rope.number("beta_slow"))


def permute_rope(values: Floats, heads: int) -> Floats:
    """Rows [heads * dim, ...] from rope on halves (i, i + dim/2) to neighbours (2i, 2i + 1).

    The checkpoint pairs channel i of a head with i + dim/2, GGUF's llama files pair 2i with 2i + 1.
    """
    half = values.shape[0] // heads // 2
    split = values.reshape(heads, 2, half, *values.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(values.shape)


def llama3_rope_factors(rope: Config, head_dim: int) -> Floats:
    """Divisors of the rope frequencies, float32 [head_dim / 2]: 1 for waves shorter than a part of
    the original context, `factor` for longer ones, smooth between.

    Source: Llama 3.1's apply_scaling (Meta, `llama-models`).
    """
    factor = rope.number("factor")
    low, high = rope.number("low_freq_factor"), rope.number("high_freq_factor")
    context = rope.integer("original_max_position_embeddings")
    if high <= low:
        raise rope.fail("high_freq_factor", f"greater than 'low_freq_factor' ({low})")
    exponents = np.arange(0, head_dim, 2, dtype=np.float64) / head_dim
    wavelengths = 2 * np.pi * rope.number("rope_theta", 10000.0) ** exponents
    smooth = np.clip((context / wavelengths - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - smooth) / factor + smooth)).astype(np.float32)
