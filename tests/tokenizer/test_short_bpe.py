"""The encoder of the first short texts gives what the library's gives, and gives way to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyslm.tokenizer import Tokenizer, load_tokenizer
from pyslm.tokenizer.backend import Backend
from pyslm.tokenizer.short_bpe import MAX_CHARS, ShortBpe

NAMES = ("gpt-2", "llama-bpe", "qwen2")


def parts(tokenizer: Tokenizer) -> tuple[Backend, ShortBpe]:
    backend = tokenizer._backend
    assert backend.short is not None
    return backend, backend.short


def is_built(backend: Backend) -> bool:
    return "_text" in backend.__dict__


@pytest.fixture(scope="module", params=NAMES)
def pair(
    request: pytest.FixtureRequest, vocabulary_path: Callable[[str], Path]
) -> tuple[Tokenizer, Tokenizer]:
    """One that never gives way, and one that never uses it."""
    path = vocabulary_path(request.param)
    short, whole = load_tokenizer(path, build_encoder=False), load_tokenizer(path)
    parts(short)[1]._left = 1 << 60
    return short, whole


WORDS = st.sampled_from(
    ["Hello", " world", "getWeather", "'ll", " 2026-11-21", "\n\n", "   ", "Ünïcödé", " 東京",
     "👩\u200d👧", "antidisestablishmentarianism", "def f(x):\n    return x", "\x00", "<|end|>"]
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.one_of(st.text(max_size=25), st.lists(WORDS, max_size=6).map("".join)))
@example("")
@example("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
def test_the_same_ids(pair: tuple[Tokenizer, Tokenizer], text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    short, whole = pair
    assert short.encode(text) == whole.encode(text)
    assert not is_built(parts(short)[0])


def test_it_gives_way(vocabulary_path: Callable[[str], Path]) -> None:
    tokenizer = load_tokenizer(vocabulary_path("qwen2"), build_encoder=False)
    backend, _ = parts(tokenizer)
    text = "some words " * 100
    for _ in range(MAX_CHARS // len(text)):
        tokenizer.encode(text)
    assert not is_built(backend)
    tokenizer.encode(text)
    assert is_built(backend)


def test_long_words_are_left_to_the_library(vocabulary_path: Callable[[str], Path]) -> None:
    tokenizer = load_tokenizer(vocabulary_path("qwen2"), build_encoder=False)
    ids = tokenizer.encode("ab" * 300)
    assert is_built(parts(tokenizer)[0])
    assert tokenizer.decode(ids) == "ab" * 300


@pytest.mark.parametrize("name", ["llama-spm", "bert-bge", "gemma-4"])
def test_others_have_none(name: str, vocabulary_path: Callable[[str], Path]) -> None:
    assert load_tokenizer(vocabulary_path(name), build_encoder=False)._backend.short is None
