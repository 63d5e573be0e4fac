"""llama: Llama 1 to 3.x, Mistral 7B, SmolLM2, TinyLlama. Biases are optional."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gguf import MODEL_TENSOR

from pyslm.convert.config import Config
from pyslm.convert.decoder import IGNORED, Decoder, llama3_rope_factors
from pyslm.convert.family import Family, Layout, Target, tensor_name

__all__ = ["FAMILY"]


def _lay_out(config: Config, folder: Path) -> Layout:
    del folder
    decoder = Decoder.read(config)
    if config.has("sliding_window"):
        # GGUF's llama has no window: up to its size the results are the same, so stop there.
        window = config.integer("sliding_window")
        decoder = replace(decoder, context_length=min(decoder.context_length, window))
    targets = list(
        decoder.targets(qkv_bias=None, output_bias=None, ffn_bias=None, interleaved_rope=True)
    )
    rope = decoder.rope()
    if rope.text("rope_type", "default") == "llama3":
        factors = llama3_rope_factors(rope, decoder.head_dim)
        name = tensor_name(MODEL_TENSOR.ROPE_FREQS)
        targets.append(Target(name, "", factors.shape, values=factors))
    return Layout(decoder.vocab_size, tuple(targets), decoder.add_metadata)


FAMILY = Family(("LlamaForCausalLM", "MistralForCausalLM"), "llama", _lay_out, IGNORED)
