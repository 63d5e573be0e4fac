"""What words have to do with each other: vectors made by `compile_meanings`."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Meanings", "near_words"]

_FREQUENT = 10_000
_MOST_NEAR = 12
_NEAR = 0.5
_ALIKE = 3  # letters at the beginning: "cook" and "cooking" are the same to a reader


@dataclasses.dataclass(frozen=True, slots=True)
class Meanings:
    """Lower-case words, the most frequent first.

    Attributes:
        words: each once, inflected forms of their own.
        counts: how many texts hold each.
        vectors: of length 1, float32 [words, dimensions].
    """

    words: tuple[str, ...]
    counts: tuple[int, ...]
    vectors: npt.NDArray[np.float32]

    @classmethod
    @functools.cache
    def load(cls) -> Meanings:
        with np.load(Path(__file__).with_name("meanings.npz")) as file:
            words = tuple(str(file["words"]).split("\n"))
            vectors = file["vectors"].astype(np.float32)
            counts = tuple(map(int, file["counts"]))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls(words, counts, vectors)


@functools.cache
def near_words(word: str) -> tuple[str, ...]:
    """Frequent words that have to do with it, the nearest first; none that look like it."""
    meanings = Meanings.load()
    try:
        place = _places()[word]
    except KeyError:
        return ()
    nearness = meanings.vectors[:_FREQUENT] @ meanings.vectors[place]
    order = np.argpartition(-nearness, 2 * _MOST_NEAR)[: 2 * _MOST_NEAR]
    order = order[np.argsort(-nearness[order])]
    start = word[:_ALIKE]
    found = [
        meanings.words[i] for i in order
        if nearness[i] > _NEAR and not meanings.words[i].startswith(start)
    ]  # fmt: skip
    return tuple(found[:_MOST_NEAR])


@functools.cache
def _places() -> dict[str, int]:
    return {word: i for i, word in enumerate(Meanings.load().words)}
