"""Vectors that nano begins with."""

from __future__ import annotations

import numpy as np

from pyslm.finetune.spelling import spelling_embedding


def cosines(tokens: list[str]) -> np.ndarray:
    vectors = spelling_embedding(tokens, 256, seed=3, std=0.05)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def test_words_of_one_stem_are_alike_and_others_are_not() -> None:
    near = cosines(["adopt", "Adopt", "Ġadopt", "adoption", "invoice", "{", "7"])
    assert (near[0, 1:3] > 0.6).all()  # only what is their own differs
    assert near[0, 3] > 0.3
    assert (np.abs(near[0, 4:]) < 0.25).all()
    assert (near[~np.eye(7, dtype=bool)] < 0.9).all()  # none is another


def test_vectors_depend_on_the_seed_and_the_spelling_alone() -> None:
    tokens = ["adopt", "adoption", "}"]
    first = spelling_embedding(tokens, 64, seed=1, std=0.05)
    np.testing.assert_array_equal(first, spelling_embedding(tokens, 64, seed=1, std=0.05))
    assert not np.array_equal(first, spelling_embedding(tokens, 64, seed=2, std=0.05))
    np.testing.assert_allclose(np.sqrt(np.mean(first**2, axis=1)), 0.05, rtol=1e-5)
