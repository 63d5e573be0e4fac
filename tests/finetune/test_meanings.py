"""Words that have to do with each other are near, and so are their tokens."""

from __future__ import annotations

import numpy as np

from pyslm.finetune.data.meanings import Meanings, near_words
from pyslm.finetune.vocabulary import NanoVocabulary


def test_words_that_have_to_do_with_each_other_are_near(vocabulary: NanoVocabulary) -> None:
    meanings = Meanings.load()
    index = {word: i for i, word in enumerate(meanings.words)}

    def nearness(a: str, b: str) -> float:
        return float(meanings.vectors[index[a]] @ meanings.vectors[index[b]])

    for word, near, far in (
        ("heart", "blood", "invoice"), ("rain", "cloud", "lawyer"), ("piano", "violin", "soup"),
        ("invoices", "invoice", "trees"), ("doctor", "patient", "guitar"),
    ):  # fmt: skip
        assert nearness(word, near) > nearness(word, far) + 0.2, (word, near, far)
    vectors = vocabulary.meanings()
    lengths = np.linalg.norm(vectors, axis=1)
    assert vectors.shape == (512, meanings.vectors.shape[1])
    assert lengths.max() <= 1.001
    assert lengths[vocabulary.ids["the"]] > 0.9


def test_near_words_are_frequent_and_look_different() -> None:
    assert "blood" in near_words("heart") or "cardiac" in near_words("heart")
    for word in ("heart", "invoice", "rain", "piano"):
        near = near_words(word)
        assert 0 < len(near) <= 12
        assert not [other for other in near if other.startswith(word[:3])]
    assert near_words("no such word") == ()
