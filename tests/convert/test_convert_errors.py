"""Folders that cannot be converted: each names what was seen, and leaves no file behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tiny_models import HIDDEN, Tensors, edit_json, write_bert, write_decoder, write_json

from pyslm.convert import convert
from pyslm.errors import (
    InvalidRequestError,
    ModelFileError,
    ModelNotFoundError,
    PyslmError,
    UnsupportedModelError,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_decoder(tmp_path / "hf", "LlamaForCausalLM")
    return tmp_path / "hf"


def refuse(folder: Path, error: type[PyslmError], message: str, **options: Any) -> None:
    out = folder.parent / "m.gguf"
    with pytest.raises(error, match=message):
        convert(folder, out, **options)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_arguments(folder: Path) -> None:
    refuse(
        folder, InvalidRequestError, "dtype is 'q4_0'; allowed: f32, f16, bf16, q8_0", dtype="q4_0"
    )
    with pytest.raises(ModelNotFoundError, match="no such folder"):
        convert(folder / "nowhere", folder.parent / "m.gguf")
    with pytest.raises(ModelFileError, match=r"config\.json is not a folder"):
        convert(folder / "config.json", folder.parent / "m.gguf")
    for out in (folder, folder / "nowhere" / "m.gguf"):
        with pytest.raises(InvalidRequestError, match="must be a file in an existing folder"):
            convert(folder, out)


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    refuse(folder, ModelNotFoundError, r"has no config\.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "holds a list; it must be an object"),
        ("{}", "'architectures' is missing; it must be a list"),
        ('{"architectures": []}', r"'architectures' is \[\]; it must be a list"),
        ('{"architectures": [3]}', r"'architectures' is \[3\]; it must be a list"),
    ],
)
def test_damaged_config(folder: Path, text: str, message: str) -> None:
    (folder / "config.json").write_text(text)
    refuse(folder, ModelFileError, message)


def test_unsupported_architecture_lists_the_supported(folder: Path) -> None:
    edit_json(folder / "config.json", architectures=["T5ForConditionalGeneration"])
    refuse(
        folder,
        UnsupportedModelError,
        "architecture T5ForConditionalGeneration; supported: LlamaForCausalLM, MistralForCausalLM, "
        "Qwen2ForCausalLM, Qwen3ForCausalLM, BertModel",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": None}, "'hidden_size' is missing; it must be an integer from 1"),
        ({"hidden_size": "64"}, "'hidden_size' is '64'; it must be an integer"),
        ({"hidden_size": True}, "'hidden_size' is True; it must be an integer"),
        ({"hidden_size": 0}, "'hidden_size' is 0; it must be an integer from 1"),
        ({"num_hidden_layers": -1}, "'num_hidden_layers' is -1"),
        ({"vocab_size": 2**31}, "'vocab_size' is 2147483648"),
        ({"num_attention_heads": 7}, "'hidden_size' is 64, no multiple of the 7 heads"),
        ({"num_key_value_heads": 3}, "'num_key_value_heads' is 3; it must divide 4"),
        ({"head_dim": 15}, "'head_dim' is 15; it must be even"),
        ({"rms_norm_eps": "small"}, "'rms_norm_eps' is 'small'; it must be a positive number"),
        ({"rms_norm_eps": -1e-5}, "'rms_norm_eps' is -1e-05; it must be a positive number"),
        ({"rope_theta": 0}, "'rope_theta' is 0; it must be a positive number"),
        ({"rope_scaling": 4}, "'rope_scaling' is 4; it must be an object"),
        ({"rope_scaling": {"type": "linear"}}, "'factor' is missing; it must be a positive number"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
                           "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}},
         "'high_freq_factor' is 4.0; it must be greater"),
        ({"tie_word_embeddings": "yes"}, "'tie_word_embeddings' is 'yes'; it must be true"),
        ({"_name_or_path": 5}, "'_name_or_path' is 5; it must be a string"),
    ],
)  # fmt: skip
def test_wrong_settings(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_json(folder / "config.json", **changes)
    refuse(folder, ModelFileError, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "relu"}, "'hidden_act' is 'relu'; supported: \"silu\""),
        ({"use_sliding_window": True}, "'use_sliding_window' is True; supported: false"),
        ({"partial_rotary_factor": 0.5}, r"'partial_rotary_factor' is 0.5; supported: 1\.0"),
        ({"quantization_config": {"bits": 4}}, "quantized already"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "supported: full_attention in"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope type 'dynamic'; supported"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0, "mscale": 1.0}}, "'mscale' is 1.0"),
    ],
)
def test_unsupported_settings(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_json(folder / "config.json", **changes)
    refuse(folder, UnsupportedModelError, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "relu"}, "'hidden_act' is 'relu'; supported: \"gelu\""),
        ({"position_embedding_type": "relative_key"}, "'relative_key'; supported: \"absolute\""),
        ({"is_decoder": True}, "'is_decoder' is True"),
    ],
)
def test_unsupported_bert(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_bert(tmp_path / "hf")
    edit_json(tmp_path / "hf" / "config.json", **changes)
    refuse(tmp_path / "hf", UnsupportedModelError, message)


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        ({"pooling_mode_max_tokens": True}, "pooling pooling_mode_max_tokens; supported: one of"),
        (
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            "_cls_token and pooling",
        ),
        ({"pooling_mode_cls_token": False}, "pooling by nothing"),
    ],
)
def test_unsupported_pooling(tmp_path: Path, pooling: dict[str, Any], message: str) -> None:
    write_bert(tmp_path / "hf")
    write_json(tmp_path / "hf" / "1_Pooling" / "config.json", pooling)
    refuse(tmp_path / "hf", UnsupportedModelError, message)


def test_layers_after_the_encoder(tmp_path: Path) -> None:
    write_bert(tmp_path / "hf")
    modules = [
        {"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Dense")
    ]
    write_json(tmp_path / "hf" / "modules.json", modules)
    refuse(
        tmp_path / "hf",
        UnsupportedModelError,
        r"module sentence_transformers\.models\.Dense; supported: Transformer, Pooling, Normalize",
    )
    write_json(tmp_path / "hf" / "modules.json", {})
    refuse(tmp_path / "hf", ModelFileError, "holds a dict; it must be a list")


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gguf.GGUFWriter.write_tensor_data", no_space)
    refuse(folder, ModelFileError, r"^cannot write .*m\.gguf: .*No space left on device")


def without(name: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        del tensors[name]

    return change


def with_tensor(name: str, *shape: int) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: np.ones(shape, np.float32)})


Q = "model.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (without("model.norm.weight"), ModelFileError, r"are missing: model\.norm\.weight$"),
        (without("lm_head.weight"), ModelFileError, r"are missing: lm_head\.weight$"),
        (
            with_tensor(Q, HIDDEN, 32),
            ModelFileError,
            r"shape \[64, 32\]; by config.json .* \[64, 64\]",
        ),
        (with_tensor(Q, HIDDEN * HIDDEN), ModelFileError, r"shape \[4096\]; by config.json"),
        (
            with_tensor("model.layers.0.adapter.weight", 1),
            UnsupportedModelError,
            "1 tensors have no",
        ),
        (
            with_tensor("model.layers.2.mlp.up_proj.weight", 1),
            UnsupportedModelError,
            "layers.2.mlp",
        ),
    ],
)
def test_wrong_tensors(
    folder: Path, change: Callable[[Tensors], None], error: type[PyslmError], message: str
) -> None:
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    change(tensors)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    refuse(folder, error, message)


def test_many_missing_tensors_are_counted(folder: Path) -> None:
    edit_json(folder / "config.json", num_hidden_layers=3)
    refuse(folder, ModelFileError, r"missing: model\.layers\.2\.input_layernorm.* and 4 more$")


def test_unused_buffers_are_left_out(folder: Path) -> None:
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(8, np.float32)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    convert(folder, folder.parent / "m.gguf")


def test_values_that_f16_cannot_hold(folder: Path) -> None:
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors[Q][0, 0] = -70000
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    refuse(
        folder, ModelFileError, r"'blk\.0\.attn_q\.weight' holds 70000, more than f16", dtype="f16"
    )
    convert(folder, folder.parent / "m.gguf", "bf16")


def test_integer_weights(folder: Path) -> None:
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors[Q] = tensors[Q].astype(np.int8)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    refuse(folder, UnsupportedModelError, f"tensor '{Q}' is I8; supported: F32, F16, BF16, F64")


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refuse(folder, ModelNotFoundError, r"has no \*\.safetensors")
    (folder / "pytorch_model.bin").touch()
    refuse(folder, UnsupportedModelError, "pickle files only.* save the model as safetensors")


@pytest.mark.parametrize("end", [0, 7, 100, -1])
def test_truncated_weights(folder: Path, end: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:end])
    refuse(folder, ModelFileError, "model.safetensors")


def test_the_same_tensor_in_two_files(folder: Path) -> None:
    (folder / "copy.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    refuse(folder, ModelFileError, r"is in copy\.safetensors and in model\.safetensors; remove one")


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ({}, ModelFileError, "'weight_map' must be an object of file names"),
        (
            {"weight_map": {"a": "../secret.safetensors"}},
            ModelFileError,
            "names of files beside it",
        ),
        ({"weight_map": {"a": 5}}, ModelFileError, "names of files beside it"),
        (
            {"weight_map": {"a": "b.safetensors"}},
            ModelNotFoundError,
            r"has no b\.safetensors, which",
        ),
    ],
)
def test_damaged_index(
    folder: Path, index: dict[str, Any], error: type[PyslmError], message: str
) -> None:
    write_json(folder / "model.safetensors.index.json", index)
    refuse(folder, error, message)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", "{", "tokenizer.json is not valid JSON"),
        ("tokenizer_config.json", "{", "tokenizer_config.json"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json"),
        ("special_tokens_map.json", "nonsense", "special_tokens_map.json is not valid JSON"),
    ],
)
def test_damaged_tokenizer_files(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_text(text)
    refuse(folder, ModelFileError, message)


def test_vocabulary_larger_than_the_embedding(folder: Path) -> None:
    edit_json(folder / "tokenizer.json", added_tokens=[{"id": 400, "content": "<far>"}])
    refuse(folder, ModelFileError, r"token ids go up to 400, but the embedding has \d+ rows")
