"""Summaries of models, against what the writer was told and what the package `gguf` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter

from pyslm.errors import GGUFError, ModelNotFoundError
from pyslm.inspect_model import TypeUse, inspect_model


def write(path: Path, **options: Any) -> Path:
    writer = GGUFWriter(path, "qwen2", **options)
    writer.add_name("Tiny Qwen")
    writer.add_context_length(4096)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"t{i}" for i in range(300)])
    writer.add_chat_template("{{ messages }}")
    writer.add_float32("odd.nan", float("nan"))
    writer.add_array("short", [1, 2, 3])
    writer.add_tensor("a", np.zeros((4, 32), np.float32))
    writer.add_tensor("b", np.zeros((2, 34), np.uint8), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.add_tensor("c", np.zeros((8, 340), np.uint8), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_summary(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf")
    summary = inspect_model(path)
    assert summary.path == str(path)
    assert summary.architecture == "qwen2"
    assert summary.name == "Tiny Qwen"
    assert summary.parameters == 4 * 32 + 2 * 32 + 8 * 320
    assert summary.file_bytes == path.stat().st_size
    assert summary.types == {"Q8_0": TypeUse(2, 68 + 2720), "F32": TypeUse(1, 512)}
    assert list(summary.types) == ["Q8_0", "F32"]
    assert summary.context_length == 4096
    assert (summary.tokenizer, summary.pre_tokenizer, summary.vocab_size) == ("gpt2", "qwen2", 300)
    assert summary.has_chat_template
    assert [(t.name, t.type, t.shape, t.bytes) for t in summary.tensors] == [
        ("a", "F32", (32, 4), 512),
        ("b", "Q8_0", (32, 2), 68),
        ("c", "Q8_0", (320, 8), 2720),
    ]
    assert summary.metadata["tokenizer.ggml.tokens"] == "array[string] of 300"
    assert summary.metadata["short"] == [1, 2, 3]


def test_json_is_strict_and_complete(tmp_path: Path) -> None:
    def no_constants(name: str) -> None:
        raise AssertionError(name)

    summary = inspect_model(write(tmp_path / "m.gguf"))
    data = json.loads(summary.to_json(), parse_constant=no_constants)
    assert data["types"]["Q8_0"] == {"tensors": 2, "bytes": 2788}
    assert data["tensors"][0] == {"name": "a", "type": "F32", "shape": [32, 4], "bytes": 512}
    assert data["metadata"]["odd.nan"] == "nan"
    assert data["metadata"]["general.name"] == "Tiny Qwen"
    short = json.loads(summary.to_json(metadata=False, tensors=False, indent=None))
    assert set(data) - set(short) == {"metadata", "tensors"}


def test_split_set_is_one_model(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", split_max_tensors=1)
    paths = sorted(tmp_path.glob("m-*.gguf"))
    summary = inspect_model(paths[0])
    assert summary.files == tuple(str(p) for p in paths)
    assert len(paths) == len(summary.tensors) == 3
    assert summary.file_bytes == sum(p.stat().st_size for p in paths)


def test_a_real_model(shared: Path) -> None:
    path = shared / "models" / "stories260K.gguf"
    theirs = gguf.GGUFReader(path)
    summary = inspect_model(path)
    assert summary.parameters == sum(int(t.n_elements) for t in theirs.tensors)
    assert sum(use.tensors for use in summary.types.values()) == len(theirs.tensors)
    assert summary.architecture == "llama"
    assert summary.vocab_size == 512
    assert summary.context_length == theirs.fields["llama.context_length"].contents()
    assert json.loads(summary.to_json())["file_bytes"] == path.stat().st_size


def test_a_file_that_says_little(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(16))
    summary = inspect_model(path)
    assert summary.architecture == "unknown"
    assert summary.name is summary.tokenizer is summary.vocab_size is summary.context_length is None
    assert not summary.has_chat_template
    assert summary.parameters == 0


@pytest.mark.parametrize(
    ("key", "add", "value", "wanted"),
    [
        ("general.architecture", "add_uint32", 1, "is uint32; it must be a string"),
        ("llama.context_length", "add_bool", True, "is bool; it must be an integer"),
        ("llama.context_length", "add_string", "long", "is string; it must be an integer"),
    ],
)
def test_a_key_of_the_wrong_type(
    tmp_path: Path, key: str, add: str, value: object, wanted: str
) -> None:
    path = tmp_path / "m.gguf"
    writer = GGUFWriter(path, "llama")
    getattr(writer, add)(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(GGUFError, match=f"key '{key}' {wanted}"):
        inspect_model(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        inspect_model(tmp_path / "m.gguf")
