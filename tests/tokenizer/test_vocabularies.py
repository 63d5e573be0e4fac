"""Against the published ids of llama.cpp's own tokenizer tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyslm import _native
from pyslm.tokenizer import Tokenizer, TokenType

VOCABULARIES = ("bert-bge", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2")


def _cases(path: Path) -> list[tuple[str, list[int]]]:
    with open(f"{path}.inp", encoding="utf-8", newline="") as file:
        texts = file.read().split("\n__ggml_vocab_test__\n")
    lines = Path(f"{path}.out").read_text().removesuffix("\n").split("\n")
    texts = texts[: len(lines)]  # what follows the last separator is no case
    return [(text, [int(i) for i in line.split()]) for text, line in zip(texts, lines, strict=True)]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_published_cases(
    name: str, load: Callable[[str], Tokenizer], vocabulary_path: Callable[[str], Path]
) -> None:
    cases = _cases(vocabulary_path(name))
    assert len(cases) == 46
    tokenizer = load(name)
    for text, ids in cases:
        assert tokenizer.encode(text, add_special_tokens=False) == ids, text
    batch = tokenizer.encode_batch([text for text, _ in cases], add_special_tokens=False)
    assert batch == [ids for _, ids in cases]


def test_published_cases_decode(
    load: Callable[[str], Tokenizer], vocabulary_path: Callable[[str], Path]
) -> None:
    for name in VOCABULARIES:
        for text, ids in _cases(vocabulary_path(name)):
            if name != "bert-bge":
                assert load(name).decode(ids) == text


# Ids and texts from the models' own tokenizer_config.json.
ENDS = {
    "gpt-2": {"<|endoftext|>"},
    "llama-bpe": {"<|end_of_text|>", "<|eot_id|>"},
    "qwen2": {"<|endoftext|>", "<|im_end|>"},
    "phi-3": {"<|endoftext|>", "<|end|>", "</s>"},
    "llama-spm": {"</s>"},
    "gemma-4": {"<eos>", "<turn|>", "<|tool_response>"},
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_of_generation(name: str, load: Callable[[str], Tokenizer]) -> None:
    tokenizer = load(name)
    assert {tokenizer.token_text(i) for i in tokenizer.eog_ids} == ENDS[name]


def test_roles(load: Callable[[str], Tokenizer]) -> None:
    llama = load("llama-bpe")
    assert (llama.bos_id, llama.eos_id, llama.eot_id) == (128000, 128001, 128009)
    assert llama.encode("a")[0] == 128000
    assert load("llama-spm").encode("") == [1]
    assert load("gemma-4").encode("a")[0] == 2
    assert load("qwen2").add_bos is False
    assert load("bert-bge").encode("Hello World!") == [101, 7592, 2088, 999, 102]
    assert load("bert-bge").decode([101, 7592, 2088, 102]) == "hello world"
    assert load("qwen2").token_types[151645] is TokenType.CONTROL
    assert load("qwen2").info.vocab_size == load("qwen2").vocab_size == 151936


# The gguf package takes many seconds on the larger ones.
@pytest.mark.parametrize("name", ["bert-bge", "llama-spm"])
def test_metadata_equals_gguf_package(name: str, vocabulary_path: Callable[[str], Path]) -> None:
    gguf = pytest.importorskip("gguf")
    reader = _native.GGUFReader(vocabulary_path(name))
    ours = {key: reader.get(key) for key in reader.keys()}  # noqa: SIM118
    fields = gguf.GGUFReader(vocabulary_path(name)).fields
    theirs = {k: f.contents() for k, f in fields.items() if not k.startswith("GGUF.")}
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert (list(ours[key]) if isinstance(value, list) else ours[key]) == value


def test_one_megabyte_takes_under_a_second(tokenizer: Tokenizer) -> None:
    # About 0.3 s on a quiet core. Processor time, the best of three, for machines that are not.
    line = "The quick brown fox, aged 42, can't jump: déjà vu? 狐狸\n\tdef f(x):\n"
    text = (line * 20_000)[:1_000_000]
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        tokenizer.encode(text)
        seconds.append(time.process_time() - begin)
    assert min(seconds) < 1


@pytest.mark.parametrize("text", ["a" * 200_000, " " * 200_000, "\n" * 200_000, "é" * 200_000])
def test_one_long_word_is_not_quadratic(text: str, lossless: Tokenizer) -> None:
    begin = time.process_time()
    ids = lossless.encode(text, add_special_tokens=False)
    assert lossless.decode(ids) == text
    assert time.process_time() - begin < 5
