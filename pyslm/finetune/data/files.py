"""The data files beside this module, each read once."""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["Lexicon", "Word", "load_toml"]

_FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True, slots=True)
class Word:
    """A word of WordNet in its most frequent sense; see `compile_lexicon`."""

    word: str
    topic: int
    synonyms: tuple[str, ...]
    hypernym: str
    gloss: str


@dataclasses.dataclass(frozen=True, slots=True)
class Lexicon:
    """The packaged words, the most frequent first."""

    nouns: tuple[Word, ...]
    verbs: tuple[Word, ...]
    adjectives: tuple[Word, ...]

    @classmethod
    @functools.cache
    def load(cls) -> Lexicon:
        words: dict[str, list[Word]] = {"n": [], "v": [], "a": []}
        text = (_FOLDER / "lexicon.tsv").read_text(encoding="ascii")
        for line in text.splitlines():
            pos, word, topic, synonyms, hypernym, gloss = line.split("\t")
            others = tuple(synonyms.split("|")) if synonyms else ()
            words[pos].append(Word(word, int(topic), others, hypernym, gloss))
        return cls(tuple(words["n"]), tuple(words["v"]), tuple(words["a"]))


@functools.cache
def load_toml(name: str) -> dict[str, Any]:
    """A data file; treat what comes back as constant."""
    return tomllib.loads((_FOLDER / name).read_text(encoding="utf-8"))
