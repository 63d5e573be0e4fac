"""Metadata that lies: always a typed error, never a crash or a silent surprise."""

from __future__ import annotations

import math
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pyslm.errors import (
    GGUFError,
    ModelFileError,
    ModelNotFoundError,
    TokenizerError,
    UnsupportedModelError,
)
from pyslm.tokenizer import load_tokenizer

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPM: dict[str, Any] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", *BYTES, "\u2581", "a", "b", "ab"],
    "tokenizer.ggml.scores": [0.0] * 259 + [-1.0, -2.0, -3.0, -0.5],
    "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 4,
}
BPE: dict[str, Any] = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": ["a", "b", "ab", "<|x|>", "<", "|", "x", ">"],
    "tokenizer.ggml.token_type": [1, 1, 1, 3, 1, 1, 1, 1],
    "tokenizer.ggml.merges": ["a b"],
}
BERT: dict[str, Any] = {
    "tokenizer.ggml.model": "bert",
    "tokenizer.ggml.tokens": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581ab", "c"],
    "tokenizer.ggml.token_type": [3, 3, 3, 3, 1, 1],
    "tokenizer.ggml.unknown_token_id": 1,
    "tokenizer.ggml.cls_token_id": 2,
    "tokenizer.ggml.seperator_token_id": 3,
}


def test_the_honest_ones_work() -> None:
    assert load_tokenizer(SPM).encode("ab") == [1, 259, 262]
    assert load_tokenizer(BPE).encode("abb") == [2, 1]
    assert load_tokenizer(BERT).encode("abc zz") == [2, 4, 5, 1, 3]


@pytest.mark.parametrize(
    ("base", "key", "value", "message"),
    [
        (SPM, "model", None, "tokenizer.ggml.model"),
        (SPM, "model", 7, "must be a string"),
        (SPM, "model", "t5", "known are: llama, gpt2, gemma4, bert"),
        (SPM, "tokens", None, "missing or empty"),
        (SPM, "tokens", [], "missing or empty"),
        (SPM, "tokens", [1, 2], "array of strings"),
        (SPM, "tokens", "abc", "array of strings"),
        (SPM, "tokens", [b"\xff"], "array of strings"),
        (SPM, "tokens", ["a", "b", "a"], "'a' appears twice: ids 0 and 2"),
        (SPM, "scores", None, "scores' is missing"),
        (SPM, "scores", [0.0] * 3, "3 entries for 263 tokens"),
        (SPM, "scores", [math.nan] * 263, "not finite"),
        (SPM, "scores", ["x"] * 263, "array of numbers"),
        (SPM, "token_type", [1], "1 entries for 263 tokens"),
        (SPM, "token_type", 1, "array of numbers"),
        (SPM, "bos_token_id", "1", "must be an integer"),
        (SPM, "bos_token_id", True, "must be an integer"),
        (SPM, "add_bos_token", 1, "must be a boolean"),
        (BPE, "merges", None, "merges' is missing"),
        (BPE, "merges", ["ab"], "'ab' is not 'left right'"),
        (BPE, "merges", ["a "], "the merge|left right"),
        (BPE, "merges", [" a"], "the merge|left right"),
        (BPE, "merges", ["a q"], "which is not a token"),
        (BPE, "merges", ["b a"], "'ba', which is not a token"),
        (BPE, "merges", ["a " + "b" * 1000], "which is not a token"),
        (BPE, "merges", [3], "array of strings"),
        (BPE, "pre", 3, "must be a string"),
        (BERT, "tokens", ["[PAD]", "x"], "entries for|missing"),
        (BERT, "unknown_token_id", -1, None),
    ],
)
def test_contradictions(base: dict[str, Any], key: str, value: object, message: str | None) -> None:
    metadata = base | {f"tokenizer.ggml.{key}": value}
    if value is None:
        del metadata[f"tokenizer.ggml.{key}"]
    if message is None:
        load_tokenizer(metadata)
        return
    if message.startswith("entries"):
        metadata["tokenizer.ggml.unknown_token_id"] = 99
        metadata["tokenizer.ggml.token_type"] = [1, 1]
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(metadata)


def test_ids_out_of_range_are_no_ids() -> None:
    tokenizer = load_tokenizer(BPE | {"tokenizer.ggml.eos_token_id": 2**32 - 1})
    assert tokenizer.eos_id is None


def test_merges_are_looked_at_when_text_is_first_encoded_if_so_wished() -> None:
    tokenizer = load_tokenizer(BPE | {"tokenizer.ggml.merges": ["a q"]}, build_encoder=False)
    assert tokenizer.all_token_bytes()[0] == b"a"
    for _ in range(2):  # and are no better the second time
        with pytest.raises(TokenizerError, match="which is not a token"):
            tokenizer.encode("ab")


def test_threads_that_encode_first_at_once_get_the_same_encoder() -> None:
    tokenizer = load_tokenizer(BPE, build_encoder=False)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(tokenizer.encode, ["ab"] * 32))
    assert found == [load_tokenizer(BPE).encode("ab")] * 32


def test_a_merge_cannot_make_a_control_token() -> None:
    # Merges that would spell "<|x|>" from its characters are dropped, not obeyed.
    merges = ["a b", "< |", "x |"]
    tokens = [*BPE["tokenizer.ggml.tokens"], "<|", "x|", "x|>", "<|x"]
    evil = BPE | {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1, 1, 1, 3] + [1] * 8,
        "tokenizer.ggml.merges": [*merges, "x| >", "<| x|>"],
    }
    tokenizer = load_tokenizer(evil)
    assert 3 not in tokenizer.encode("<|x|>")
    assert tokenizer.decode(tokenizer.encode("ab<|x|>")) == "ab<|x|>"
    assert tokenizer.encode("<|x|>", parse_special=True) == [3]


def test_a_whole_word_cannot_be_a_control_token() -> None:
    # llama-bpe takes any word that is a token, without merges.
    evil = BPE | {
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.token_type": [1, 1, 3] + [1] * 5,
    }
    assert load_tokenizer(evil | {"tokenizer.ggml.merges": []}).encode("ab") == [0, 1]


def test_well_known_control_tokens_need_no_type() -> None:
    tokens = [*BPE["tokenizer.ggml.tokens"], "<|im_end|>"]
    for kind in (1, 4):
        types = [*BPE["tokenizer.ggml.token_type"], kind]
        tokenizer = load_tokenizer(
            BPE | {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
        )
        assert 8 not in tokenizer.encode("<|im_end|>")
        assert tokenizer.eog_ids == {8}


def _gguf(*pairs: bytes, count: int | None = None) -> bytes:
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs) if count is None else count)
    return header + b"".join(pairs)


def _text(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


MODEL = _text(b"tokenizer.ggml.model") + struct.pack("<I", 8) + _text(b"llama")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGML" + bytes(40),
        b"GGUF" + struct.pack("<IQQ", 9, 0, 0),
        _gguf(count=2**63),
        _gguf(MODEL, MODEL),
        _gguf(MODEL[:-2]),
        _gguf(_text(b"k") + struct.pack("<I", 99)),
        _gguf(_text(b"k") + struct.pack("<IIQ", 9, 8, 2**60)),
    ],
)
def test_broken_files(tmp_path: Path, data: bytes) -> None:
    """The reader refuses them (tests/gguf); here, that its errors arrive."""
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises((GGUFError, UnsupportedModelError), match="offset"):
        load_tokenizer(path)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    tokens = _text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 1) + _text(b"\xff")
    path.write_bytes(_gguf(MODEL, tokens))
    with pytest.raises(TokenizerError, match="tokens' must be an array of strings"):
        load_tokenizer(path)
    path.write_bytes(_gguf(MODEL[:-5] + b"\xff" * 5))
    with pytest.raises(TokenizerError, match="model' must be a string, not bytes"):
        load_tokenizer(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such model file"):
        load_tokenizer(tmp_path / "absent.gguf")
    with pytest.raises(ModelFileError, match="is a directory"):
        load_tokenizer(tmp_path)


def test_truncation_at_every_byte_of_a_small_file(tmp_path: Path) -> None:
    tokens = (
        _text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + _text(b"a") + _text(b"b")
    )
    whole = _gguf(MODEL, tokens)
    path = tmp_path / "model.gguf"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(GGUFError):
            load_tokenizer(path)
