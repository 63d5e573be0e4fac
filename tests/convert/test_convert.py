"""Converted models against their sources, read back with the package `gguf`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors.numpy
import tiny_models
from read_back import gguf_name, read_back
from tiny_models import (
    CONTEXT,
    FFN,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    edit_json,
    write_bert,
    write_decoder,
)

from pyslm.convert import convert


def is_rotated(name: str) -> bool:
    return any(part in name for part in ("q_proj", "k_proj"))


@pytest.mark.parametrize(
    ("architecture", "expected", "options"),
    [
        ("LlamaForCausalLM", "llama", {}),
        ("LlamaForCausalLM", "llama", {"tied": True}),
        ("LlamaForCausalLM", "llama", {"qkv_bias": True, "other_bias": True}),
        ("MistralForCausalLM", "llama", {"head_dim": 32, "config": {"head_dim": 32}}),
        ("Qwen2ForCausalLM", "qwen2", {"qkv_bias": True}),
        (
            "Qwen3ForCausalLM",
            "qwen3",
            {"qk_norm": True, "head_dim": 32, "config": {"head_dim": 32}},
        ),
        ("Qwen3ForCausalLM", "qwen3", {"qk_norm": True, "head_dim": 128, "tied": True}),
    ],
)
def test_decoders_keep_every_bit(
    tmp_path: Path, architecture: str, expected: str, options: dict[str, Any]
) -> None:
    weights = write_decoder(tmp_path / "hf", architecture, **options)
    fields, tensors = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf", "f32"))
    assert fields["general.architecture"] == expected
    assert {gguf_name(name) for name in weights} == set(tensors)
    for name, values in weights.items():
        got = tensors[gguf_name(name)]
        assert got.tensor_type.name == "F32"
        assert got.data.shape == values.shape
        if expected == "llama" and is_rotated(name):
            assert not np.array_equal(got.data, values)
        else:
            np.testing.assert_array_equal(got.data, values)


def test_decoder_metadata(tmp_path: Path) -> None:
    write_decoder(tmp_path / "hf", "LlamaForCausalLM", config={"rope_theta": 5e5})
    fields, _ = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf"))
    expected = {
        "general.architecture": "llama", "general.type": "model", "general.name": "hf",
        "general.file_type": 1, "llama.context_length": CONTEXT, "llama.embedding_length": HIDDEN,
        "llama.block_count": LAYERS, "llama.feed_forward_length": FFN,
        "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KV_HEADS,
        "llama.rope.dimension_count": HIDDEN // HEADS, "llama.rope.freq_base": 5e5,
        "llama.attention.layer_norm_rms_epsilon": float(np.float32(1e-5)),
        "tokenizer.chat_template": "{{ messages[0].content }}",
        "tokenizer.ggml.add_bos_token": False,
    }  # fmt: skip
    assert {key: fields[key] for key in expected} == expected
    assert fields["llama.vocab_size"] == len(fields["tokenizer.ggml.tokens"])
    assert "llama.attention.key_length" not in fields


def rope(x: np.ndarray, position: int, neighbours: bool) -> np.ndarray:
    """x: [heads, dim] rotated; pairs (2i, 2i + 1), or (i, i + dim / 2)."""
    dim = x.shape[1]
    angles = position * 10000.0 ** (-np.arange(0, dim, 2) / dim)
    first = x[:, 0::2] if neighbours else x[:, : dim // 2]
    second = x[:, 1::2] if neighbours else x[:, dim // 2 :]
    a = first * np.cos(angles) - second * np.sin(angles)
    b = first * np.sin(angles) + second * np.cos(angles)
    return np.concatenate([a, b], axis=1)


@pytest.mark.parametrize("bias", [False, True])
def test_llama_attention_scores_are_those_of_the_source(tmp_path: Path, bias: bool) -> None:
    """Rope on halves over the source's q and k = rope on neighbours over the converted ones."""
    weights = write_decoder(tmp_path / "hf", "LlamaForCausalLM", qkv_bias=bias)
    _, tensors = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf", "f32"))
    x = np.random.default_rng(1).standard_normal(HIDDEN)

    def rotated(get: Any, letter: str, heads: int, position: int, neighbours: bool) -> np.ndarray:
        y = get(letter, "weight") @ x + (get(letter, "bias") if bias else 0)
        return rope(y.reshape(heads, -1), position, neighbours)

    def scores(get: Any, neighbours: bool) -> np.ndarray:
        q = rotated(get, "q", HEADS, 17, neighbours).reshape(KV_HEADS, HEADS // KV_HEADS, -1)
        k = rotated(get, "k", KV_HEADS, 5, neighbours)
        return np.einsum("kgd,kd->kg", q, k)

    for layer in range(LAYERS):
        source = f"model.layers.{layer}.self_attn."
        ours = scores(lambda c, part, i=layer: tensors[f"blk.{i}.attn_{c}.{part}"].data, True)
        theirs = scores(lambda c, part, s=source: weights[f"{s}{c}_proj.{part}"], False)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def meta_scaled_frequency(frequency: float, config: dict[str, Any]) -> float:
    """As Meta's llama-models publishes it."""
    low_wavelength = config["original_max_position_embeddings"] / config["low_freq_factor"]
    high_wavelength = config["original_max_position_embeddings"] / config["high_freq_factor"]
    wavelength = 2 * math.pi / frequency
    if wavelength < high_wavelength:
        return frequency
    if wavelength > low_wavelength:
        return frequency / config["factor"]
    smooth = (
        config["original_max_position_embeddings"] / wavelength - config["low_freq_factor"]
    ) / (config["high_freq_factor"] - config["low_freq_factor"])
    return (1 - smooth) * frequency / config["factor"] + smooth * frequency


@pytest.mark.parametrize("modern", [False, True])
def test_llama3_rope_factors(tmp_path: Path, modern: bool) -> None:
    scaling = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # fmt: skip
    config: dict[str, Any] = {"head_dim": 64, "rope_theta": 5e5, "rope_scaling": scaling}
    if modern:  # transformers 5 keeps everything in one object
        config = {"head_dim": 64, "rope_parameters": {**scaling, "rope_theta": 5e5}}
    write_decoder(tmp_path / "hf", "LlamaForCausalLM", head_dim=64, config=config)
    if modern:
        edit_json(tmp_path / "hf" / "config.json", rope_theta=None)
    fields, tensors = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf"))
    factors = tensors["rope_freqs.weight"]
    assert factors.tensor_type.name == "F32"
    frequencies = 5e5 ** (-np.arange(0, 64, 2) / 64)
    expected = [f / meta_scaled_frequency(f, scaling) for f in frequencies]
    assert min(expected) == 1
    assert max(expected) == pytest.approx(32)
    np.testing.assert_allclose(factors.data, expected, rtol=1e-6)
    assert fields["llama.rope.freq_base"] == 5e5
    assert "llama.rope.scaling.type" not in fields


def test_yarn_and_linear_rope(tmp_path: Path) -> None:
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    write_decoder(tmp_path / "hf", "Qwen2ForCausalLM", qkv_bias=True, config={"rope_scaling": yarn})
    fields, _ = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf"))
    assert fields["qwen2.rope.scaling.type"] == "yarn"
    assert fields["qwen2.rope.scaling.factor"] == 4.0
    assert fields["qwen2.rope.scaling.original_context_length"] == 32
    edit_json(tmp_path / "hf" / "config.json", rope_scaling={"rope_type": "linear", "factor": 2.0})
    fields, _ = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf"))
    assert fields["qwen2.rope.scaling.type"] == "linear"
    assert fields["qwen2.rope.scaling.factor"] == 2.0


def test_a_sliding_window_bounds_the_context(tmp_path: Path) -> None:
    write_decoder(tmp_path / "hf", "MistralForCausalLM", config={"sliding_window": 48})
    fields, _ = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf"))
    assert fields["llama.context_length"] == 48


@pytest.mark.parametrize("dtype", ["f16", "bf16", "q8_0"])
def test_types(tmp_path: Path, dtype: str) -> None:
    weights = write_decoder(tmp_path / "hf", "Qwen2ForCausalLM", qkv_bias=True)
    done: list[float] = []
    out = convert(tmp_path / "hf", tmp_path / "m.gguf", dtype, progress=done.append)
    fields, tensors = read_back(out)
    kind = gguf.GGMLQuantizationType[dtype.upper()]
    assert fields["general.file_type"] == gguf.LlamaFileType[f"MOSTLY_{dtype.upper()}"]
    for name, values in weights.items():
        got = tensors[gguf_name(name)]
        if values.ndim == 1:
            assert got.tensor_type.name == "F32"
            np.testing.assert_array_equal(got.data, values)
        else:
            assert got.tensor_type == kind
            decoded = gguf.dequantize(got.data, kind)
            step = np.abs(values).max() / 127 if dtype == "q8_0" else 0
            np.testing.assert_allclose(decoded, values, rtol=2**-8, atol=step)
            assert got.data.tobytes() == gguf.quantize(values, kind).tobytes()
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert len(done) == len(tensors)


def test_rows_that_no_block_fits_stay_f16(tmp_path: Path) -> None:
    weights = write_bert(tmp_path / "hf")
    fields, tensors = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf", "q8_0"))
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_Q8_0
    kinds = {name: tensor.tensor_type.name for name, tensor in tensors.items()}
    assert kinds["blk.0.ffn_up.weight"] == "Q8_0"
    assert kinds["position_embd.weight"] == kinds["token_types.weight"] == "F32"
    shapes = {name: values.shape for name, values in weights.items()}
    narrow = {name: (s[0], 48) if s[-1] == FFN else s for name, s in shapes.items()}
    narrow |= {n: (48, *s[1:]) for n, s in shapes.items() if "intermediate" in n}
    safetensors.numpy.save_file(
        tiny_models.random_tensors(narrow), tmp_path / "hf" / "model.safetensors"
    )
    edit_json(tmp_path / "hf" / "config.json", intermediate_size=48)
    _, tensors = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf", "q8_0"))
    assert tensors["blk.0.ffn_down.weight"].tensor_type.name == "F16"
    assert tensors["blk.0.ffn_up.weight"].tensor_type.name == "Q8_0"


def test_bf16_and_f16_sources_are_exact(tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    weights = write_decoder(folder, "Qwen2ForCausalLM", qkv_bias=True)
    halves = {n: v.astype(np.float16) for n, v in weights.items()}
    safetensors.numpy.save_file(halves, folder / "model.safetensors")
    _, tensors = read_back(convert(folder, tmp_path / "m.gguf", "f16"))
    for name, half in halves.items():
        np.testing.assert_array_equal(tensors[gguf_name(name)].data, half)

    bits = {n: (v.view(np.uint32) >> 16).astype(np.uint16) for n, v in weights.items()}
    tiny_models.write_safetensors(folder / "model.safetensors", "BF16", bits)
    _, tensors = read_back(convert(folder, tmp_path / "m.gguf", "bf16"))
    for name, bit in bits.items():
        got = tensors[gguf_name(name)]
        if bit.ndim == 2:
            assert got.tensor_type.name == "BF16"
            assert got.data.tobytes() == bit.tobytes()
        else:
            np.testing.assert_array_equal(got.data.view(np.uint32), bit.astype(np.uint32) << 16)


def test_sharded_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    weights = write_decoder(folder, "Qwen2ForCausalLM", qkv_bias=True)
    whole = convert(folder, tmp_path / "whole.gguf").read_bytes()
    (folder / "model.safetensors").unlink()
    shards: list[dict[str, np.ndarray]] = [{}, {}, {}]
    for i, (name, values) in enumerate(weights.items()):
        shards[i % 3][name] = values
    index = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-00003.safetensors"
        safetensors.numpy.save_file(shard, folder / file)
        index |= dict.fromkeys(shard, file)
    assert convert(folder, tmp_path / "globbed.gguf").read_bytes() == whole
    tiny_models.write_json(folder / "model.safetensors.index.json", {"weight_map": index})
    assert convert(folder, tmp_path / "indexed.gguf").read_bytes() == whole


def test_output_is_replaced_only_when_complete(tmp_path: Path) -> None:
    weights = write_decoder(tmp_path / "hf", "Qwen2ForCausalLM", qkv_bias=True)
    out = tmp_path / "m.gguf"
    out.write_bytes(b"precious")
    weights["model.norm.weight"][0] = np.nan  # found only while writing
    safetensors.numpy.save_file(weights, tmp_path / "hf" / "model.safetensors")
    from pyslm.errors import ModelFileError

    with pytest.raises(ModelFileError, match=r"'model.norm.weight' holds NaN or infinity"):
        convert(tmp_path / "hf", out)
    assert out.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hf", "m.gguf"]

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    weights["model.norm.weight"][0] = 1
    safetensors.numpy.save_file(weights, tmp_path / "hf" / "model.safetensors")
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "hf", out, progress=interrupt)
    assert out.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hf", "m.gguf"]
    assert convert(tmp_path / "hf", out) == out
    assert out.read_bytes()[:4] == b"GGUF"
