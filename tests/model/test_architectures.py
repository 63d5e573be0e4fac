"""What is read from a file's metadata, and what is refused, by which words."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_gguf import (
    CONTEXT,
    FFN,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    SIZES,
    VOCAB,
    write_decoder,
    write_encoder,
)

from pyslm import _native
from pyslm.errors import GGUFError, UnsupportedModelError

ARCHITECTURES = [
    *("bert", "gemma", "gemma2", "gemma3", "granite", "llama"),
    *("nomic-bert", "phi3", "qwen2", "qwen3", "smollm3"),
]
FULL = [0] * LAYERS


def spec(path: Path, arch: str = "llama", **arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = _native.read_spec(
        str(write_decoder(path / "model.gguf", arch, **arguments))
    )
    return result


def test_names() -> None:
    assert _native.architectures() == ARCHITECTURES


# --- what the metadata says -------------------------------------------------------------------


def test_sizes(tmp_path: Path) -> None:
    got = spec(tmp_path)
    want = {
        "architecture": "llama",
        "generates": True,
        "hidden_size": HIDDEN,
        "num_layers": LAYERS,
        "num_heads": HEADS,
        "num_kv_heads": KV_HEADS,
        "key_dim": HEAD_DIM,
        "value_dim": HEAD_DIM,
        "ffn_size": FFN,
        "vocab_size": VOCAB,
        "trained_context_length": CONTEXT,
        "layer_windows": FULL,
        "layer_ropes": FULL,
        "pooling": "last",
    }
    assert {key: got[key] for key in want} == want
    assert got["norm_eps"] == pytest.approx(1e-5)
    assert got["attention_scale"] == pytest.approx(HEAD_DIM**-0.5)


def test_values_per_layer_may_be_arrays(tmp_path: Path) -> None:
    got = spec(tmp_path, keys={"attention.head_count_kv": [KV_HEADS] * LAYERS})
    assert got["num_kv_heads"] == KV_HEADS


def test_multipliers_of_granite(tmp_path: Path) -> None:
    keys = {"embedding_scale": 12.0, "residual_scale": 0.25, "logit_scale": 8.0}
    got = spec(tmp_path, "granite", keys=keys | {"attention.scale": 0.5})
    assert [got[key] for key in keys] == [12.0, 0.25, 1 / 8]
    assert got["attention_scale"] == 0.5
    assert spec(tmp_path, "granite")["embedding_scale"] == 1.0


def test_granite_without_rope(tmp_path: Path) -> None:
    assert spec(tmp_path, "granite")["layer_ropes"] == FULL
    without = spec(tmp_path, "granite", keys={"rope.scaling.finetuned": False})
    assert without["layer_ropes"] == [-1] * LAYERS


def test_every_fourth_layer_of_smollm3_has_no_rope(tmp_path: Path) -> None:
    assert spec(tmp_path, "smollm3")["layer_ropes"] == [0, 0, 0, -1]


def test_windows_of_gemma2_alternate(tmp_path: Path) -> None:
    got = spec(tmp_path, "gemma2", keys={"attention.sliding_window": 64})
    assert got["layer_windows"] == [64, 0, 64, 0]
    assert (got["attention_softcap"], got["logit_softcap"]) == (50.0, 30.0)
    assert got["embedding_scale"] == pytest.approx(math.sqrt(HIDDEN))


@pytest.mark.parametrize("pattern", [4, [True, True, True, False]])
def test_windows_of_gemma3_follow_the_pattern(tmp_path: Path, pattern: int | list[bool]) -> None:
    keys = {"attention.sliding_window": 64, "attention.sliding_window_pattern": pattern}
    got = spec(tmp_path, "gemma3", keys=keys | {"rope.freq_base": 1e6})
    assert got["layer_windows"] == [64, 64, 64, 0]
    assert got["layer_ropes"] == [1, 1, 1, 0]
    assert [rope["base"] for rope in got["ropes"]] == [1e6, 1e4]


def test_window_of_phi3_counts_where_shorter_than_the_context(tmp_path: Path) -> None:
    assert spec(tmp_path, "phi3")["layer_windows"] == FULL
    short = spec(tmp_path, "phi3", keys={"attention.sliding_window": CONTEXT // 2 - 1})
    assert short["layer_windows"] == [CONTEXT // 2 - 1] * LAYERS
    long = spec(tmp_path, "phi3", keys={"attention.sliding_window": 2 * CONTEXT})
    assert long["layer_windows"] == FULL


@pytest.mark.parametrize(
    ("keys", "scaling", "factor"),
    [
        ({}, "none", 1.0),
        ({"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, "none", 1.0),
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, "linear", 4.0),
        ({"rope.scaling.factor": 2.0}, "linear", 2.0),
        ({"rope.scale_linear": 8.0}, "linear", 8.0),
        ({"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}, "yarn", 4.0),
    ],
)
def test_rope_scaling(tmp_path: Path, keys: dict[str, Any], scaling: str, factor: float) -> None:
    [rope] = spec(tmp_path, keys=keys)["ropes"]
    assert (rope["scaling"], rope["factor"]) == (scaling, factor)
    assert rope["original_context"] == CONTEXT


@pytest.mark.parametrize(("number", "name"), [(1, "mean"), (2, "cls"), (3, "last"), (0, "mean")])
def test_pooling(tmp_path: Path, number: int, name: str) -> None:
    got = _native.read_spec(str(write_encoder(tmp_path / "m.gguf", pooling_type=number)))
    assert (got["generates"], got["pooling"]) == (False, name)


# --- metadata that breaks a rule --------------------------------------------------------------

NEEDED = sorted(set(SIZES) - {"attention.head_count_kv", "rope.freq_base"})


@pytest.mark.parametrize("key", NEEDED)
def test_missing_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(GGUFError, match=re.escape(f"llama.{key}")):
        spec(tmp_path, without=[key])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in NEEDED[:1] + NEEDED[2:] for value in (0, -1, 2**31, "64")),
        ("attention.layer_norm_rms_epsilon", -1.0),
        ("attention.layer_norm_rms_epsilon", math.nan),
        ("attention.head_count", HEADS - 1),  # does not divide the hidden size
        ("attention.head_count_kv", 3),  # does not divide the heads
        ("attention.head_count_kv", [KV_HEADS] * (LAYERS + 1)),
        ("attention.key_length", 0),
        ("rope.dimension_count", HEAD_DIM - 1),
        ("rope.dimension_count", 2 * HEAD_DIM),
        ("rope.freq_base", 0.0),
        ("rope.freq_base", math.inf),
        ("rope.scaling.original_context_length", 0),
    ],
)
def test_absurd_value(tmp_path: Path, key: str, value: Any) -> None:
    named = "embedding_length" if value == HEADS - 1 and key.endswith("head_count") else key
    if key == "attention.head_count_kv" and value == 3:
        named = "attention.head_count"
    with pytest.raises(GGUFError, match=re.escape(f"llama.{named}")):
        spec(tmp_path, keys={key: value})


def test_pattern_of_another_length(tmp_path: Path) -> None:
    keys = {"attention.sliding_window": 8, "attention.sliding_window_pattern": [True] * 3}
    with pytest.raises(GGUFError, match="sliding_window_pattern has 3 values"):
        spec(tmp_path, "gemma3", keys=keys)


# --- valid files that we cannot run -----------------------------------------------------------


def test_unsupported_architecture_names_those_supported(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        spec(tmp_path, "mamba")
    assert "'mamba'" in str(caught.value)
    assert all(name in str(caught.value) for name in ARCHITECTURES)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("expert_count", 8, "mixture of experts"),
        ("rope.scaling.type", "ntk", "'ntk'; supported: none, linear, yarn, longrope"),
        ("pooling_type", 9, "supported: 1 (mean)"),
        ("attention.head_count_kv", [1, 2, 2, 2], "differs between layers"),
    ],
)
def test_unsupported_value(tmp_path: Path, key: str, value: Any, words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=re.escape(words)) as caught:
        spec(tmp_path, keys={key: value})
    assert f"llama.{key}" in str(caught.value)


# --- tensors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight", "blk.3.ffn_down.weight"],
)
def test_missing_tensor(tmp_path: Path, name: str) -> None:
    with pytest.raises(GGUFError, match=re.escape(f"'{name}' is missing")):
        spec(tmp_path, tensors={name: None})


def test_missing_bias_of_qwen2(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match=re.escape("blk.1.attn_k.bias")):
        spec(tmp_path, "qwen2", tensors={"blk.1.attn_k.bias": None})


@pytest.mark.parametrize(
    ("name", "shape", "seen", "expected"),
    [
        ("blk.2.attn_k.weight", (HIDDEN, HIDDEN), "64 x 64", "64 x 32"),
        ("blk.0.ffn_down.weight", (FFN, HIDDEN), "64 x 96", "96 x 64"),
        ("blk.0.attn_norm.weight", (HIDDEN - 1,), "63", "64"),
        ("blk.0.attn_q.weight", (2, HIDDEN, HIDDEN), "64 x 64 x 2", "64 x 64"),
        ("token_embd.weight", (VOCAB, 2 * HIDDEN), "128 x 80", "64 x 80"),
        ("output.weight", (VOCAB + 1, HIDDEN), "64 x 81", "64 x 80"),
        ("rope_freqs.weight", (HEAD_DIM,), "16", "8"),
    ],
)
def test_wrong_shape(
    tmp_path: Path, name: str, shape: tuple[int, ...], seen: str, expected: str
) -> None:
    with pytest.raises(GGUFError) as caught:
        spec(tmp_path, tensors={name: np.ones(shape, np.float32)})
    message = str(caught.value)
    assert f"'{name}' has shape {seen};" in message
    assert message.endswith(f": {expected}")


def test_tensor_that_the_architecture_does_not_know(tmp_path: Path) -> None:
    sinks = {"blk.0.attn_sinks.weight": np.ones(HEADS, np.float32)}
    with pytest.raises(UnsupportedModelError, match=r"'blk\.0\.attn_sinks\.weight' .* not part"):
        spec(tmp_path, tensors=sinks)


def test_vocabulary_of_another_length_than_the_embeddings(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match=r"token_embd\.weight' has shape 64 x 80"):
        spec(tmp_path, keys={"vocab_size": VOCAB - 1})
