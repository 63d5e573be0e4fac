"""Everyday words become tokens, and nothing else changes."""

from __future__ import annotations

import pytest

from pyslm.finetune.everyday import everyday_words, with_words
from pyslm.finetune.vocabulary import NanoVocabulary, pieces_of

_ROOM = 200


@pytest.fixture(scope="module")
def grown(vocabulary: NanoVocabulary) -> NanoVocabulary:
    size = len(vocabulary.tokens) + _ROOM
    return NanoVocabulary(
        *with_words(vocabulary.tokens, vocabulary.merges, everyday_words(), size, pieces_of)
    )


def test_words_become_tokens_wherever_they_stand(
    vocabulary: NanoVocabulary, grown: NanoVocabulary
) -> None:
    added = set(grown.tokens).difference(vocabulary.tokens)
    words = added.intersection(everyday_words())
    assert len(words) > _ROOM / 4  # a word in three pieces takes two tokens, a capital one more
    for word in words:
        for text in (word, f"a ({word})", f'{{"{word}": 1}}', f"do_{word}"):
            assert grown.ids[word] in grown.encode([text])[0], text


def test_other_texts_stay_the_same_tokens(
    vocabulary: NanoVocabulary, grown: NanoVocabulary
) -> None:
    assert grown.tokens[: len(vocabulary.tokens)] == vocabulary.tokens
    texts = ["to 12.5 in Oslo?", '{"to": "Zorvath 12-AB"}', "東京 é_y"]
    assert grown.encode(texts) == vocabulary.encode(texts)


def test_no_more_tokens_than_asked_for(vocabulary: NanoVocabulary, grown: NanoVocabulary) -> None:
    assert len(grown.tokens) == len(set(grown.tokens)) == len(vocabulary.tokens) + _ROOM
    assert len(grown.merges) == len(set(grown.merges))


def test_a_form_told_by_its_ending_stays_in_pieces(grown: NanoVocabulary) -> None:
    ids = grown.encode(forms := [f"{word}ed" for word in everyday_words()])
    told = [f for f, (_, *end) in zip(forms, ids, strict=True) if end == [grown.ids["ed"]]]
    assert told
    size = len(grown.tokens) + 100
    tokens, _ = with_words(grown.tokens, grown.merges, told, size, pieces_of)
    assert not set(told) & set(tokens)


def test_the_words_are_of_small_letters_and_come_once() -> None:
    words = everyday_words()
    assert len(words) == len(set(words)) > 10_000
    assert all(word.isascii() and word.islower() and word.isalpha() for word in words)
    assert words.index("kitchen") < words.index("binoculars")  # the more frequent first
    assert not {"chicago", "johnson"} & set(words)
