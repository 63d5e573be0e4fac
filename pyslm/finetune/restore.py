"""A model that was exported, back in torch: to train it further."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor

from pyslm import _native
from pyslm.chat.nearness import NearnessTable
from pyslm.convert.family import tensor_name
from pyslm.errors import ModelNotFoundError, UnsupportedModelError
from pyslm.finetune.config import ModelConfig
from pyslm.finetune.dialect import CONTROL
from pyslm.finetune.export import tensor_names
from pyslm.finetune.vocabulary import NanoVocabulary

__all__ = ["Restored", "restore"]


@dataclasses.dataclass(frozen=True, slots=True)
class Restored:
    """What a file holds: numbers, vocabulary, and float32 weights by torch's names."""

    config: ModelConfig
    vocabulary: NanoVocabulary
    weights: dict[str, Tensor]
    nearness: NearnessTable | None


def restore(path: Path) -> Restored:
    """Reads a GGUF file that `export` wrote, of any quantization.

    Raises:
        ModelNotFoundError, ModelFileError, GGUFError: it cannot be read.
        UnsupportedModelError: it is another model.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"{path}: no such file; give the path of a nano model")
    reader = _native.GGUFReader(path)
    tokens = _strings(reader, "tokenizer.ggml.tokens")
    tensors = {tensor.name: tensor for tensor in reader.tensors()}
    name = tensor_name(gguf.MODEL_TENSOR.ATTN_Q_NORM, 0)
    ours = reader.get("general.architecture", "") == "qwen3" and name in tensors
    if not ours or tokens[: len(CONTROL)] != list(CONTROL):
        raise UnsupportedModelError(
            f"{path} is no model of `pyslm.finetune`, as nano is; --lora trains adapters for others"
        )
    config = _config(reader, len(tokens))
    weights = {}
    for torch_name, gguf_name in tensor_names(config).items():
        tensor = tensors[gguf_name]
        data = reader.read(gguf_name, 0, tensor.num_bytes)
        values = _native.dequantize(tensor.type, data, tensor.num_elements)
        weights[f"{torch_name}.weight"] = torch.from_numpy(values).reshape(*tensor.shape[::-1])
    return Restored(
        config,
        NanoVocabulary(tokens, _strings(reader, "tokenizer.ggml.merges")),
        weights,
        NearnessTable.read(path),
    )


def _strings(reader: Any, key: str) -> list[str]:
    return [text.decode() for text in reader.string_array(key)] if key in reader else []


def _config(reader: Any, vocab_size: int) -> ModelConfig:
    def number(key: str) -> Any:
        return reader.get(f"qwen3.{key}")

    return ModelConfig(
        vocab_size=vocab_size,
        hidden=number("embedding_length"),
        layers=number("block_count"),
        ffn=number("feed_forward_length"),
        heads=number("attention.head_count"),
        kv_heads=number("attention.head_count_kv"),
        head_dim=number("attention.key_length"),
        context_length=number("context_length"),
        rope_theta=number("rope.freq_base"),
        norm_eps=float(f"{number('attention.layer_norm_rms_epsilon'):.6g}"),  # of float32
    )
