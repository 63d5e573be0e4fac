"""A trained model as a GGUF file: architecture qwen3, with vocabulary and chat template inside."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf import MODEL_TENSOR

from pyslm.chat.nearness import NearnessTable
from pyslm.convert.family import tensor_name
from pyslm.convert.vocabulary import Vocabulary
from pyslm.convert.writer import FILE_TYPES
from pyslm.finetune.config import ModelConfig
from pyslm.finetune.dialect import END, PAD, chat_template
from pyslm.finetune.model import Nano
from pyslm.finetune.vocabulary import PRE_TOKENIZER, NanoVocabulary
from pyslm.new_file import replacing

__all__ = ["check_quantization", "export", "tensor_names"]

NAME = "pyslm-nano"
_LAYER_TENSORS = {
    "input_layernorm": MODEL_TENSOR.ATTN_NORM,
    "self_attn.q_proj": MODEL_TENSOR.ATTN_Q,
    "self_attn.k_proj": MODEL_TENSOR.ATTN_K,
    "self_attn.v_proj": MODEL_TENSOR.ATTN_V,
    "self_attn.q_norm": MODEL_TENSOR.ATTN_Q_NORM,
    "self_attn.k_norm": MODEL_TENSOR.ATTN_K_NORM,
    "self_attn.o_proj": MODEL_TENSOR.ATTN_OUT,
    "post_attention_layernorm": MODEL_TENSOR.FFN_NORM,
    "mlp.gate_proj": MODEL_TENSOR.FFN_GATE,
    "mlp.up_proj": MODEL_TENSOR.FFN_UP,
    "mlp.down_proj": MODEL_TENSOR.FFN_DOWN,
}


def check_quantization(name: str) -> None:
    """An InvalidRequestError where `export` would not take it."""
    if name.lower() not in FILE_TYPES:
        from pyslm.quant_mix import find_mix

        find_mix(name)


def export(
    model: Nano,
    vocabulary: NanoVocabulary,
    out: Path,
    quantization: str = "Q8_0",
    *,
    quotes: bool = True,
    nearness: NearnessTable | None = None,
    token_embedding: str | None = None,
) -> Path:
    """Writes the model to the GGUF file `out` and returns `out`.

    Args:
        model: on any device.
        out: replaced only when the new file is complete.
        quantization: "F32", "Q8_0", "Q6_K", ...; see `pyslm.quant_mix.MIXES`.
        quotes: texts in arguments are quoted from the conversation, and never composed.
        nearness: of the vocabulary's tokens.
        token_embedding: another format for the embedding of tokens, where weights are quantized.

    Raises:
        InvalidRequestError: an unknown quantization or format, or weights that are not finite.
        ModelFileError: `out` cannot be written.
    """
    if quantization.lower() in FILE_TYPES:  # needs no native module, which a GPU's machine may lack
        with replacing(out) as partial:
            _write(model, vocabulary, partial, quantization.lower(), quotes, nearness)
        return out
    from pyslm.quantize import quantize_file

    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as folder:
        exact = Path(folder) / "f32.gguf"
        _write(model, vocabulary, exact, "f32", quotes, nearness)
        quantize_file(exact, out, quantization, threads=1, token_embedding=token_embedding)
    return out


def _write(
    model: Nano,
    vocabulary: NanoVocabulary,
    path: Path,
    dtype: str,
    quotes: bool,
    nearness: NearnessTable | None,
) -> None:
    writer = gguf.GGUFWriter(path, "qwen3")
    kind, file_type = FILE_TYPES[dtype]
    try:
        _add_metadata(writer, model.config, vocabulary)
        writer.add_chat_template(chat_template(quotes))
        if nearness is not None:
            nearness.add_to(writer)
        writer.add_file_type(file_type)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for name, values in _tensors(model).items():
            own = kind if values.ndim == 2 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(name, gguf.quantize(values, own), raw_dtype=own)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add_metadata(writer: gguf.GGUFWriter, config: ModelConfig, vocabulary: NanoVocabulary) -> None:
    writer.add_type("model")
    writer.add_name(NAME)
    writer.add_license("Apache-2.0")
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.hidden)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.ffn)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocab_size)
    written = Vocabulary(
        model="gpt2",
        pre=PRE_TOKENIZER,
        tokens=vocabulary.tokens,
        types=[gguf.TokenType(kind) for kind in vocabulary.types],
        merges=vocabulary.merges,
        flags={"add_bos_token": False},
    )
    written.add_to(writer, config.vocab_size)
    writer.add_eos_token_id(vocabulary.ids[END])
    writer.add_pad_token_id(vocabulary.ids[PAD])


def tensor_names(config: ModelConfig) -> dict[str, str]:
    """Torch's names, without ".weight", and those of GGUF."""
    names = {
        "embed_tokens": tensor_name(MODEL_TENSOR.TOKEN_EMBD),
        "norm": tensor_name(MODEL_TENSOR.OUTPUT_NORM),
    }
    for i in range(config.layers):
        for part, kind in _LAYER_TENSORS.items():
            names[f"layers.{i}.{part}"] = tensor_name(kind, i)
    return names


def _tensors(model: Nano) -> dict[str, npt.NDArray[np.float32]]:
    """The weights under GGUF's names."""
    names = tensor_names(model.config)
    return {
        names[name.removesuffix(".weight")]: np.ascontiguousarray(
            weight.detach().float().cpu().numpy()
        )
        for name, weight in model.named_parameters()
    }
