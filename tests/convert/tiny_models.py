"""Hugging Face folders of tiny models with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

HIDDEN, HEADS, KV_HEADS, FFN, LAYERS, CONTEXT = 64, 4, 2, 96, 2, 128
QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT = ["the cat sat on the mat", "then the hat was that of the cat", "mathematics that matters"]

Tensors = dict[str, np.ndarray]


def write_byte_level(folder: Path, regex: str | None = QWEN2_REGEX, vocab_size: int = 290) -> int:
    """A byte-level BPE tokenizer; returns the number of its ids."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex is None)
    steps = [byte_level]
    if regex is not None:
        steps.insert(0, pre_tokenizers.Split(tokenizers.Regex(regex), "isolated"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens(["<tool_call>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {"eos_token": "<|im_end|>", "bos_token": None, "pad_token": {"content": "<|endoftext|>"},
         "add_bos_token": False, "chat_template": "{{ messages[0].content }}"},
    )  # fmt: skip
    return tokenizer.get_vocab_size()


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def edit_json(path: Path, **changes: Any) -> None:
    """Sets keys; None removes one."""
    value = {**json.loads(path.read_text()), **changes}
    write_json(path, {k: v for k, v in value.items() if v is not None})


def random_tensors(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Tensors:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(s, dtype=np.float32) for name, s in shapes.items()}


def write_safetensors(path: Path, dtype: str, tensors: dict[str, np.ndarray]) -> None:
    """A file of any element type, for NumPy knows no BF16: the arrays hold the bits."""
    header: dict[str, Any] = {}
    end = 0
    for name, bits in tensors.items():
        begin, end = end, end + bits.nbytes
        header[name] = {"dtype": dtype, "shape": list(bits.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    data = b"".join(bits.tobytes() for bits in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def decoder_shapes(
    vocab: int, *, head_dim: int = HIDDEN // HEADS, qkv_bias: bool = False, qk_norm: bool = False,
    other_bias: bool = False, tied: bool = False,
) -> dict[str, tuple[int, ...]]:  # fmt: skip
    q, kv = HEADS * head_dim, KV_HEADS * head_dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, HIDDEN)}
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        matrices = {
            "self_attn.q_proj": (q, HIDDEN), "self_attn.k_proj": (kv, HIDDEN),
            "self_attn.v_proj": (kv, HIDDEN), "self_attn.o_proj": (HIDDEN, q),
            "mlp.gate_proj": (FFN, HIDDEN), "mlp.up_proj": (FFN, HIDDEN),
            "mlp.down_proj": (HIDDEN, FFN),
        }  # fmt: skip
        for name, shape in matrices.items():
            shapes[f"{layer}{name}.weight"] = shape
            is_qkv = name[-6:] in ("q_proj", "k_proj", "v_proj") and "attn" in name
            if (qkv_bias and is_qkv) or (other_bias and not is_qkv):
                shapes[f"{layer}{name}.bias"] = shape[:1]
        shapes[f"{layer}input_layernorm.weight"] = (HIDDEN,)
        shapes[f"{layer}post_attention_layernorm.weight"] = (HIDDEN,)
        if qk_norm:
            shapes[f"{layer}self_attn.q_norm.weight"] = (head_dim,)
            shapes[f"{layer}self_attn.k_norm.weight"] = (head_dim,)
    shapes["model.norm.weight"] = (HIDDEN,)
    if not tied:
        shapes["lm_head.weight"] = (vocab, HIDDEN)
    return shapes


def write_decoder(
    folder: Path, architecture: str, *, config: dict[str, Any] | None = None, **shapes: Any
) -> Tensors:
    """config.json, tokenizer and model.safetensors; returns the weights."""
    folder.mkdir(exist_ok=True)
    vocab = write_byte_level(folder) + 6  # rows beyond the tokenizer, as Qwen has them
    tensors = random_tensors(decoder_shapes(vocab, **shapes))
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    write_json(
        folder / "config.json",
        {"architectures": [architecture], "hidden_size": HIDDEN, "num_attention_heads": HEADS,
         "num_key_value_heads": KV_HEADS, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
         "max_position_embeddings": CONTEXT, "vocab_size": vocab, "rms_norm_eps": 1e-5,
         "rope_theta": 10000.0, "hidden_act": "silu",
         "tie_word_embeddings": shapes.get("tied", False), **(config or {})},
    )  # fmt: skip
    return tensors


def write_bert(folder: Path, *, pooling: str | None = "pooling_mode_cls_token") -> Tensors:
    folder.mkdir(exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "the", "cat", "##s", "!"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(words), HIDDEN),
        "embeddings.position_embeddings.weight": (CONTEXT, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,), "embeddings.LayerNorm.bias": (HIDDEN,),
        "pooler.dense.weight": (HIDDEN, HIDDEN), "pooler.dense.bias": (HIDDEN,),
    }  # fmt: skip
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}."
        for name, rows, columns in (
            ("attention.self.query", HIDDEN, HIDDEN), ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN), ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", FFN, HIDDEN), ("output.dense", HIDDEN, FFN),
        ):  # fmt: skip
            shapes[f"{layer}{name}.weight"] = (rows, columns)
            shapes[f"{layer}{name}.bias"] = (rows,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{layer}{name}.weight"] = shapes[f"{layer}{name}.bias"] = (HIDDEN,)
    tensors = random_tensors(shapes)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    write_json(
        folder / "config.json",
        {"architectures": ["BertModel"], "hidden_size": HIDDEN, "num_attention_heads": HEADS,
         "intermediate_size": FFN, "num_hidden_layers": LAYERS, "vocab_size": len(words),
         "max_position_embeddings": CONTEXT, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
         "hidden_act": "gelu"},
    )  # fmt: skip
    write_json(
        folder / "special_tokens_map.json",
        {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"},
    )
    if pooling:
        (folder / "1_Pooling").mkdir()
        modes = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, pooling: True}
        write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 64, **modes})
    return tensors
