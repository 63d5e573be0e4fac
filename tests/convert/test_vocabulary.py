"""Vocabularies: real ones, written as tokenizer.json and converted back, must be what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from gguf import GGUFWriter, TokenType
from tiny_models import QWEN2_REGEX, edit_json, write_json

from pyslm._native import GGUFReader
from pyslm.convert.vocabulary import Vocabulary, read_vocabulary
from pyslm.errors import ModelFileError, ModelNotFoundError, UnsupportedModelError
from pyslm.tokenizer import load_tokenizer
from pyslm.tokenizer.pre_tokenizers import PRE_TOKENIZERS as KNOWN

LLAMA3_REGEX = QWEN2_REGEX.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}


def split(regex: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


PRE_TOKENIZERS = {
    "qwen2": sequence(split(QWEN2_REGEX), BYTE_LEVEL),
    "llama-bpe": sequence(split(LLAMA3_REGEX), BYTE_LEVEL),
    "gpt-2": {"type": "ByteLevel", "add_prefix_space": False},
    "smollm": sequence(
        {"type": "Digits", "individual_digits": True}, {**BYTE_LEVEL, "use_regex": True}
    ),
}


def tokenizer_json(reader: GGUFReader, model: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """The tokens of a GGUF file as the `tokenizers` library saves them."""
    tokens = reader.get("tokenizer.ggml.tokens")
    types = reader.get("tokenizer.ggml.token_type")
    added = [
        {"id": i, "content": tokens[i], "special": t in (TokenType.CONTROL, TokenType.UNKNOWN)}
        for i, t in enumerate(types)
        if t in (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN)
    ]
    outside = {token["id"] for token in added} if model.get("byte_fallback") is None else set()
    vocab = {text: i for i, text in enumerate(tokens) if i not in outside}
    return {"model": {"type": "BPE", "vocab": vocab, **model}, "added_tokens": added, **parts}


@pytest.mark.parametrize(
    "name", ["gpt-2", pytest.param("qwen2", marks=pytest.mark.slow),
             pytest.param("llama-bpe", marks=pytest.mark.slow)]
)  # fmt: skip
@pytest.mark.parametrize("as_pairs", [False, True])
def test_real_byte_level_vocabularies(
    shared: Path, tmp_path: Path, name: str, as_pairs: bool
) -> None:
    reader = GGUFReader(shared / "vocab" / f"ggml-vocab-{name}.gguf")
    merges = reader.get("tokenizer.ggml.merges")
    model = {
        "merges": [merge.split(" ") for merge in merges] if as_pairs else merges,
        "ignore_merges": name == "llama-bpe",
    }
    data = tokenizer_json(reader, model, pre_tokenizer=PRE_TOKENIZERS[name])
    write_json(tmp_path / "tokenizer.json", data)
    tokens = reader.get("tokenizer.ggml.tokens")
    got = read_vocabulary(tmp_path, len(tokens))
    assert (got.model, got.pre) == ("gpt2", reader.get("tokenizer.ggml.pre"))
    assert got.tokens == tokens
    assert got.types == reader.get("tokenizer.ggml.token_type")
    assert got.merges == merges


def transformers_merges(tokens: list[str], scores: list[float]) -> list[str]:
    """How transformers turns the pieces of a SentencePiece model into merges."""
    ids = {text: i for i, text in enumerate(tokens)}
    merges = []
    for text, score in zip(tokens, scores, strict=True):
        pairs = [(text[:i], text[i:], score) for i in range(1, len(text))]
        known = [pair for pair in pairs if pair[0] in ids and pair[1] in ids]
        merges += sorted(known, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    merges.sort(key=lambda pair: (pair[2], len(pair[0]), len(pair[1])), reverse=True)
    return [f"{left} {right}" for left, right, _ in merges]


def test_real_sentence_piece_vocabulary(shared: Path, tmp_path: Path) -> None:
    path = shared / "vocab" / "ggml-vocab-llama-spm.gguf"
    reader = GGUFReader(path)
    tokens, scores = reader.get("tokenizer.ggml.tokens"), reader.get("tokenizer.ggml.scores")
    model = {"merges": transformers_merges(tokens, scores), "byte_fallback": True,
             "unk_token": "<unk>"}  # fmt: skip
    normalizer = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]}  # fmt: skip
    write_json(tmp_path / "tokenizer.json", tokenizer_json(reader, model, normalizer=normalizer))
    got = read_vocabulary(tmp_path, len(tokens))
    assert (got.model, got.pre, got.flags) == ("llama", "default", {})
    assert got.tokens == tokens
    assert got.types == reader.get("tokenizer.ggml.token_type")
    assert got.scores is not None
    # The rank stands for the score; runs of spaces share the lowest score, in any order.
    merged = [i for i, text in enumerate(tokens) if len(text) > 1 and 0 > scores[i] > -1e8]
    assert len(merged) > 20000
    by_score = sorted(merged, key=lambda i: -got.scores[i])  # type: ignore[index]
    assert by_score == sorted(merged, key=lambda i: -scores[i])
    # And text becomes the ids that llama.cpp publishes.
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    got.add_to(writer, len(tokens))
    for flag in ("bos", "eos", "unknown"):
        key = f"tokenizer.ggml.{flag}_token_id"
        writer.add_uint32(key, reader.get(key))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    ours = load_tokenizer(tmp_path / "m.gguf")
    texts = path.with_name(path.name + ".inp").read_text().split("\n__ggml_vocab_test__\n")
    lines = path.with_name(path.name + ".out").read_text().splitlines()
    assert len(texts) > 40
    for text, line in zip(texts, lines, strict=False):
        assert ours.encode(text, add_special_tokens=False) == [int(i) for i in line.split()]


@pytest.mark.parametrize(
    ("parts", "flags"),
    [
        ({"normalizer": {"type": "Prepend", "prepend": "▁"}}, {}),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first"}}, {}),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "never"}},
         {"add_space_prefix": False}),
        ({"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}},
         {"add_space_prefix": False}),
    ],
)  # fmt: skip
def test_space_prefix(tmp_path: Path, parts: dict[str, Any], flags: dict[str, bool]) -> None:
    model = {"type": "BPE", "vocab": {"<unk>": 0, "<0x0A>": 1, "▁": 2, "a": 3, "▁a": 4},
             "merges": [["▁", "a"]], "byte_fallback": True, "unk_token": "<unk>"}  # fmt: skip
    write_json(tmp_path / "tokenizer.json", {"model": model, **parts})
    got = read_vocabulary(tmp_path, 7)
    assert got.flags == flags
    assert got.types == [TokenType.UNKNOWN, TokenType.BYTE, *[TokenType.NORMAL] * 3]
    assert got.scores == [0.0, 0.0, -1.0, -2.0, 0.0]


def test_roles_types_and_padding(tmp_path: Path) -> None:
    tiny_models.write_decoder(tmp_path / "hf", "Qwen2ForCausalLM", qkv_bias=True)
    from pyslm.convert import convert

    reader = GGUFReader(convert(tmp_path / "hf", tmp_path / "m.gguf"))
    tokens = reader.get("tokenizer.ggml.tokens")
    types = dict(zip(tokens, reader.get("tokenizer.ggml.token_type"), strict=True))
    assert reader.get("tokenizer.ggml.eos_token_id") == tokens.index("<|im_end|>")
    assert reader.get("tokenizer.ggml.padding_token_id") == tokens.index("<|endoftext|>")
    assert "tokenizer.ggml.bos_token_id" not in reader
    assert types["<|im_start|>"] == TokenType.CONTROL
    assert types["<tool_call>"] == TokenType.USER_DEFINED
    assert types["a"] == TokenType.NORMAL
    assert [t for t in tokens if t.startswith("[PAD")] == tokens[-6:]
    assert {types[t] for t in tokens[-6:]} == {TokenType.UNUSED}


def set_model(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    edit_json(path, model={**json.loads(path.read_text())["model"], **changes})


@pytest.mark.parametrize("expected", PRE_TOKENIZERS)
def test_pre_tokenizers_are_recognised(tmp_path: Path, expected: str) -> None:
    tiny_models.write_byte_level(tmp_path)
    edit_json(tmp_path / "tokenizer.json", pre_tokenizer=PRE_TOKENIZERS[expected])
    if expected == "llama-bpe":
        set_model(tmp_path, ignore_merges=True)
    assert read_vocabulary(tmp_path, 300).pre == expected


def test_ignore_merges_tells_names_apart(tmp_path: Path) -> None:
    tiny_models.write_byte_level(tmp_path, LLAMA3_REGEX)
    for ignore in (False, True):
        set_model(tmp_path, ignore_merges=ignore)
        name = read_vocabulary(tmp_path, 300).pre
        assert KNOWN[name].ignore_merges == ignore
        assert KNOWN[name].patterns == (LLAMA3_REGEX,)


def test_inverted_split_is_the_same(tmp_path: Path) -> None:
    tiny_models.write_byte_level(tmp_path)
    inverted = sequence(split(QWEN2_REGEX, "Removed", invert=True), BYTE_LEVEL)
    edit_json(tmp_path / "tokenizer.json", pre_tokenizer=inverted)
    assert read_vocabulary(tmp_path, 300).pre == "qwen2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pre_tokenizer": sequence(split(r"\w+"), BYTE_LEVEL)},
            r"unknown pre-tokenizer \['\\\\w\+'\]",
        ),
        (
            {"pre_tokenizer": sequence(split(QWEN2_REGEX, "Removed"), BYTE_LEVEL)},
            "pre-tokenizer step",
        ),
        (
            {"pre_tokenizer": sequence({"type": "Whitespace"}, BYTE_LEVEL)},
            "unknown pre-tokenizer step",
        ),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}},
            "unknown pre-tokenizer s",
        ),
        ({"normalizer": {"type": "Lowercase"}}, "byte-level BPE with normalizer 'Lowercase'"),
        (
            {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}},
            "tokenizer model 'Unigram'; supported",
        ),
        ({"model": {"type": "WordLevel", "vocab": {"a": 0}}}, "tokenizer model 'WordLevel'"),
        ({"model": {"type": "WordPiece", "vocab": {"a": 0}}}, "WordPiece with pre-tokenizer"),
        (
            {
                "model": {"type": "WordPiece", "vocab": {"a": 0}},
                "pre_tokenizer": {"type": "BertPreTokenizer"},
                "normalizer": {"type": "NFKC"},
            },
            r"WordPiece with normalizer \['NFKC'\]",
        ),
        ({"model": {"type": "WordPiece", "vocab": {}, "continuing_subword_prefix": "@@"}}, "'@@'"),
    ],
)
def test_unsupported_tokenizers_are_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    tiny_models.write_byte_level(tmp_path)
    edit_json(tmp_path / "tokenizer.json", **changes)
    with pytest.raises(UnsupportedModelError, match=message):
        read_vocabulary(tmp_path, 300)


def bpe(**model: Any) -> dict[str, Any]:
    return {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [], **model}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": []}, "'model' must be an object"),
        ({"added_tokens": {"a": 1}}, "'added_tokens' a list"),
        ({"added_tokens": [{"id": 1}]}, "'vocab' or 'added_tokens' is damaged"),
        (bpe(vocab={"a": -1}), "token ids must be integers from 0"),
        (bpe(vocab={"a": True}), "token ids must be integers from 0"),
        (bpe(vocab={"a": 2**40}), "token ids must be integers from 0"),
        (bpe(vocab=7), "'vocab' or 'added_tokens' is damaged"),
        (bpe(vocab={"a": 0, "b": 0}), "two tokens share one id"),
        (bpe(vocab={"a": 300}), "token ids go up to 300, but the embedding has 300 rows"),
        (bpe(merges=["a b c"]), "merge 'a b c' is not a pair"),
        (bpe(merges=[["a"]]), r"merge \['a'\] is not a pair"),
        (bpe(merges=[5]), "merge 5 is not a pair"),
        (bpe(merges={}), "'model.merges' must be a list"),
    ],
)
def test_damaged_tokenizers(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    tiny_models.write_byte_level(tmp_path)
    edit_json(tmp_path / "tokenizer.json", **changes)
    with pytest.raises(ModelFileError, match=message):
        read_vocabulary(tmp_path, 300)


def test_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no tokenizer\.json .*save_pretrained"):
        read_vocabulary(tmp_path, 300)
    (tmp_path / "vocab.txt").write_text("a\nb\na\n")
    with pytest.raises(ModelFileError, match="3 tokens, 2 distinct"):
        read_vocabulary(tmp_path, 300)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\n")
    with pytest.raises(ModelFileError, match=r"cannot read .*vocab\.txt"):
        read_vocabulary(tmp_path, 300)


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        ({}, {}),
        ({"do_lower_case": True, "strip_accents": None}, {}),
        (
            {"do_lower_case": False},
            {"normalizer.lowercase": False, "normalizer.strip_accents": False},
        ),
        (
            {"strip_accents": False},
            {"normalizer.lowercase": True, "normalizer.strip_accents": False},
        ),
    ],
)
def test_vocab_txt(tmp_path: Path, settings: dict[str, Any], flags: dict[str, bool]) -> None:
    tiny_models.write_bert(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", settings)
    assert read_vocabulary(tmp_path, 10) == Vocabulary(
        "bert",
        "bert-bge",
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "▁the", "▁cat", "s", "▁!"],
        [TokenType.CONTROL] * 5 + [TokenType.NORMAL] * 5,
        flags=flags,
    )
