"""How each named pre-tokenizer cuts words. Expected cuts follow from the published patterns."""

from __future__ import annotations

import pytest
from tokenizers import pre_tokenizers

from pyslm.errors import TokenizerError
from pyslm.tokenizer import load_tokenizer
from pyslm.tokenizer.backend import split_isolated
from pyslm.tokenizer.pre_tokenizers import PRE_TOKENIZERS

# What the models' converters write (convert_hf_to_gguf.py) for models this package runs.
NEEDED = """default gpt-2 llama-bpe qwen2 qwen35 smollm deepseek-llm deepseek-coder deepseek-r1-qwen
tekken gpt-4o llama4 starcoder refact command-r olmo dbrx phi-2 stablelm2 lfm2 exaone4 hunyuan
falcon3 minerva-7b mpt smaug-bpe jina-v2-code jina-v2-de jina-v2-es jina-v1-en gemma4"""

SAMPLE = (
    "Hello WORLDwide camelCase don't I'LL 1234567 x=3.14;\n\n\tfoo(bar)  baz \r\n "
    "你好世界 ありがとう Ünïcödé e\u0301 🦙 ''' --- //end/\n  "
)


def cut(name: str, text: str) -> list[str]:
    splitter = pre_tokenizers.Sequence(split_isolated(*PRE_TOKENIZERS[name].patterns))
    return [piece for piece, _ in splitter.pre_tokenize_str(text)]


@pytest.mark.parametrize("name", sorted(PRE_TOKENIZERS))
def test_keeps_every_character(name: str) -> None:
    pieces = cut(name, SAMPLE)
    assert "".join(pieces) == SAMPLE
    assert len(pieces) > 1


def test_the_needed_ones_are_there() -> None:
    assert set(NEEDED.split()) <= PRE_TOKENIZERS.keys()


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("gpt-2", "can't  12345 a!!\n\n b", ["can", "'t", " ", " 12345", " a", "!!", "\n\n", " b"]),
        ("gpt-2", "CAN'T", ["CAN", "'", "T"]),
        ("llama-bpe", "CAN'T 12345!!\n\nb", ["CAN", "'T", " ", "123", "45", "!!\n\n", "b"]),
        ("qwen2", "x 12!\n", ["x", " ", "1", "2", "!\n"]),
        ("qwen2", "e\u0301a", ["e", "\u0301a"]),
        ("qwen35", "e\u0301a", ["e\u0301a"]),
        ("smollm", "a 12 b", ["a", " ", "1", "2", " b"]),
        ("tekken", "helloWorld ABCdef 12", ["hello", "World", " ABCdef", " ", "1", "2"]),
        ("gpt-4o", "helloWorld's 1234", ["hello", "World's", " ", "123", "4"]),
        ("gpt-4o", "a/b//\n c", ["a", "/b", "//\n", " c"]),
        ("deepseek-r1-qwen", "I'm 42", ["I", "'m", " ", "4", "2"]),
        ("deepseek-coder", "a+b 12\n", ["a", "+", "b", " ", "1", "2", "\n"]),
        ("deepseek-llm", "hi 你好 12,\n", ["hi", " ", "你好", " ", "12", ",", "\n"]),
        ("deepseek-v3", "v1234 .x()\n", ["v", "123", "4", " .", "x", "()\n"]),
        ("minicpm5", "a1234", ["a", "123", "4"]),
        ("gemma4", "a b\n\nc", ["a b", "\n\n", "c"]),
        ("default", "a=b 12345", ["a", "=", "b", " ", "123", "45"]),
    ],
)
def test_cuts(name: str, text: str, pieces: list[str]) -> None:
    assert cut(name, text) == pieces


def test_unknown_one_is_named() -> None:
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "no-such-pre",
        "tokenizer.ggml.tokens": ["a"],
        "tokenizer.ggml.merges": [],
    }
    with pytest.raises(TokenizerError, match=r"'no-such-pre'.*known are: .*llama-bpe.*qwen2"):
        load_tokenizer(metadata)
