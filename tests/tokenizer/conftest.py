from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from pyslm.tokenizer import Tokenizer, load_tokenizer

VOCABULARIES = ("bert-bge", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2")


@pytest.fixture(scope="session")
def vocabulary_path(shared: Path) -> Callable[[str], Path]:
    return lambda name: shared / "vocab" / f"ggml-vocab-{name}.gguf"


@pytest.fixture(scope="session")
def load(vocabulary_path: Callable[[str], Path]) -> Callable[[str], Tokenizer]:
    return cache(lambda name: load_tokenizer(vocabulary_path(name)))


@pytest.fixture(params=VOCABULARIES)
def tokenizer(request: pytest.FixtureRequest, load: Callable[[str], Tokenizer]) -> Tokenizer:
    return load(request.param)


@pytest.fixture(params=[name for name in VOCABULARIES if name != "bert-bge"])
def lossless(request: pytest.FixtureRequest, load: Callable[[str], Tokenizer]) -> Tokenizer:
    """Each tokenizer that keeps all of a text (BERT's lowercases and drops white space)."""
    return load(request.param)
