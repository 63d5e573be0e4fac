"""bert: BERT, MiniLM, bge, e5. Learned positions, LayerNorm after each half layer, biases.

The pooling of a sentence-transformers model stands in `1_Pooling/config.json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gguf import MODEL_TENSOR, GGUFWriter, PoolingType

from pyslm.convert.config import Config, read_json, read_json_list
from pyslm.convert.family import Family, Layout, Target, linear, tensor_name
from pyslm.errors import ModelFileError, UnsupportedModelError

__all__ = ["FAMILY"]

_POOLING = {
    "pooling_mode_mean_tokens": PoolingType.MEAN,
    "pooling_mode_cls_token": PoolingType.CLS,
    "pooling_mode_lasttoken": PoolingType.LAST,
}
_MODULES = ("Transformer", "Pooling", "Normalize")
_IGNORED = (
    "embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias",
    "cls.predictions.bias", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias",
    "cls.predictions.transform.dense.weight", "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.bias",
    "cls.seq_relationship.weight", "cls.seq_relationship.bias",
)  # fmt: skip


def _lay_out(config: Config, folder: Path) -> Layout:
    config.require("hidden_act", ["gelu"])
    config.require("position_embedding_type", ["absolute"])
    config.require("is_decoder", [False])
    config.require("add_cross_attention", [False])
    _check_modules(folder)
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    if hidden % heads:
        raise ModelFileError(
            f"{config.path}: 'hidden_size' is {hidden}, no multiple of the {heads} heads"
        )
    metadata = partial(_add_metadata, config=config, pooling=_read_pooling(folder))
    return Layout(config.integer("vocab_size"), tuple(_targets(config, hidden)), metadata)


def _targets(config: Config, hidden: int) -> Iterator[Target]:
    embeddings = (
        (MODEL_TENSOR.TOKEN_EMBD, "word", config.integer("vocab_size"), False),
        (MODEL_TENSOR.POS_EMBD, "position", config.integer("max_position_embeddings"), True),
        (MODEL_TENSOR.TOKEN_TYPES, "token_type", config.integer("type_vocab_size", 2), True),
    )
    for kind, name, rows, f32 in embeddings:
        source = f"embeddings.{name}_embeddings.weight"
        yield Target(tensor_name(kind), source, (rows, hidden), f32=f32)
    yield from _norm(MODEL_TENSOR.TOKEN_EMBD_NORM, "embeddings.LayerNorm", hidden)
    ffn = config.integer("intermediate_size")
    for i in range(config.integer("num_hidden_layers")):
        layer = f"encoder.layer.{i}."
        for kind, name, rows, columns in (
            (MODEL_TENSOR.ATTN_Q, "attention.self.query", hidden, hidden),
            (MODEL_TENSOR.ATTN_K, "attention.self.key", hidden, hidden),
            (MODEL_TENSOR.ATTN_V, "attention.self.value", hidden, hidden),
            (MODEL_TENSOR.ATTN_OUT, "attention.output.dense", hidden, hidden),
            (MODEL_TENSOR.FFN_UP, "intermediate.dense", ffn, hidden),
            (MODEL_TENSOR.FFN_DOWN, "output.dense", hidden, ffn),
        ):
            yield from linear(kind, layer + name, rows, columns, layer=i, bias=True)
        yield from _norm(
            MODEL_TENSOR.ATTN_OUT_NORM, f"{layer}attention.output.LayerNorm", hidden, i
        )
        yield from _norm(MODEL_TENSOR.LAYER_OUT_NORM, f"{layer}output.LayerNorm", hidden, i)


def _norm(kind: MODEL_TENSOR, source: str, size: int, layer: int | None = None) -> Iterator[Target]:
    for part in ("weight", "bias"):
        yield Target(tensor_name(kind, layer, part), f"{source}.{part}", (size,))


def _check_modules(folder: Path) -> None:
    """sentence-transformers may add layers after the encoder, which GGUF has no place for."""
    path = folder / "modules.json"
    if not path.is_file():
        return
    modules = read_json_list(path)
    types = [m.get("type") if isinstance(m, dict) else m for m in modules]
    unknown = [kind for kind in types if str(kind).rpartition(".")[2] not in _MODULES]
    if unknown:
        raise UnsupportedModelError(
            f"{path}: module {unknown[0]}; supported: {', '.join(_MODULES)}"
        )


def _read_pooling(folder: Path) -> PoolingType | None:
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return None  # a plain encoder: whoever runs it chooses
    config = Config(path, read_json(path))
    modes = [key for key, value in config.values.items() if "pooling_mode" in key and value is True]
    if len(modes) != 1 or modes[0] not in _POOLING:
        raise UnsupportedModelError(
            f"{path}: pooling {' and '.join(modes) or 'by nothing'}; supported: one of "
            f"{', '.join(_POOLING)}"
        )
    return _POOLING[modes[0]]


def _add_metadata(writer: GGUFWriter, config: Config, pooling: PoolingType | None) -> None:
    writer.add_context_length(config.integer("max_position_embeddings"))
    writer.add_embedding_length(config.integer("hidden_size"))
    writer.add_block_count(config.integer("num_hidden_layers"))
    writer.add_feed_forward_length(config.integer("intermediate_size"))
    writer.add_head_count(config.integer("num_attention_heads"))
    writer.add_layer_norm_eps(config.number("layer_norm_eps", 1e-12))
    writer.add_causal_attention(False)
    writer.add_token_type_count(config.integer("type_vocab_size", 2))
    if pooling is not None:
        writer.add_pooling_type(pooling)


FAMILY = Family(
    ("BertModel", "BertForMaskedLM"), "bert", _lay_out, _IGNORED, prefixes=("", "bert.")
)
