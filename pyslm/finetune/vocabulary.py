"""Nano's vocabulary: byte-level BPE of whose tokens none spans a border that copying crosses.

A value stands after a space in the request and after a quote in the call. Were " Oslo" a token,
the two would have nothing in common; so words, spaces, digits and punctuation never merge, except
for JSON's own punctuation and a few short words that nobody copies. "getWeather" is "get" and
"Weather". The file names the pre-tokenizer "llama-bpe": its words are larger than ours, which makes
no difference to merges that stay inside, and a word that is a token needs no merge. A large one
learns a part of its tokens of texts; the others are everyday words.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from pyslm.finetune.data import Scene, scenes
from pyslm.finetune.data.domains import load_domains
from pyslm.finetune.data.files import Lexicon
from pyslm.finetune.data.meanings import Meanings
from pyslm.finetune.dialect import CONTROL, write_messages, write_prefix
from pyslm.finetune.everyday import everyday_words, with_words
from pyslm.tokenizer.bpe import build
from pyslm.tokenizer.vocabulary import TokenType
from pyslm.tokenizer.vocabulary import Vocabulary as FileVocabulary

__all__ = ["PRE_TOKENIZER", "NanoVocabulary", "pieces_of"]

PRE_TOKENIZER = "llama-bpe"
_PIECES = r"\p{Lu}?[\p{Ll}\p{M}]+|\p{Lu}+(?!\p{Ll})|\p{Lo}+|[^\p{Lu}\p{Ll}\p{M}\p{Lo}]"
_SPACED = (
    "the|a|an|to|of|in|on|for|with|and|or|is|are|was|it|at|by|from|as|be|do|does|what|how|where|when|"
    "which|who|that|this|me|my|you|your|we|our|i|us|please|can|could|would|will|want|need|like|have|"
    "has|about|called|named|all|not|no|string|integer|number|boolean|tell|show|get|set|one"
)
_JSON_MERGES = (
    '{ "', '" :', 'Ġ "', '" ,', '" }', '"} }', 'Ġ {"', "Ġ [", 'Ġ[ "', '" ]', "} }", "] }", "]} }",
    '"] }', '"]} }', "Ġ {",
)  # fmt: skip
_TRAINING_SCENES = 5000
_GLOSS_REPEATS = 3  # so that plain English is not drowned by requests
_MOST_REPEATS = 200
_WHOLE_WORD = 1e5
_MOST_LEARNED = 12_288  # tokens; texts of the generator need no more


class NanoVocabulary:
    """Tokens by id, and the merges in order of rank."""

    def __init__(self, tokens: list[str], merges: list[str]) -> None:
        self.tokens = tokens
        self.merges = merges
        self.ids = {token: i for i, token in enumerate(tokens)}
        self.types = [TokenType.CONTROL] * len(CONTROL)
        self.types += [TokenType.NORMAL] * (len(tokens) - len(CONTROL))
        # The very tokenizer that the engine builds of the file.
        self._backend = build(
            FileVocabulary(
                "gpt2", PRE_TOKENIZER, tokens, self.ids, self.types, None, merges, {}, {}, None, ""
            )
        )

    @classmethod
    def train(cls, size: int, seed: int, num_scenes: int = _TRAINING_SCENES) -> NanoVocabulary:
        """Learns `size` tokens from what the generator says with that seed."""
        tokenizer = Tokenizer(models.BPE())
        split = pre_tokenizers.Split(Regex(_PIECES), "isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
        extra = [
            *(merge.replace(" ", "") for merge in _JSON_MERGES),
            *(f"Ġ{w}" for w in _SPACED.split("|")),
        ]
        trainer = trainers.BpeTrainer(
            vocab_size=min(size, _MOST_LEARNED) - len(CONTROL) - len(extra),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        drawn = itertools.islice(scenes(seed), num_scenes)
        texts = itertools.chain(_texts(drawn), _glosses(), _words())
        tokenizer.train_from_iterator(texts, trainer)
        model = json.loads(tokenizer.to_str())["model"]
        learned = sorted(model["vocab"], key=model["vocab"].__getitem__)
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        tokens, merges = [*CONTROL, *learned, *extra], [*merges, *_JSON_MERGES]
        return cls(*with_words(tokens, merges, everyday_words(), size, pieces_of))

    @classmethod
    def load(cls, path: Path) -> NanoVocabulary:
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(data["tokens"], data["merges"])

    def save(self, path: Path) -> None:
        data = {"tokens": self.tokens, "merges": self.merges}
        path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")

    def meanings(self) -> npt.NDArray[np.float32]:
        """What tokens have to do with each other, float32 [tokens, dimensions].

        A token's vector is the mean of those of the words that it is, or is in: of length 1 where
        it is a word, near 0 where it stands in words of all kinds.
        """
        meanings = Meanings.load()
        sums = np.zeros((len(self.tokens), meanings.vectors.shape[1]), np.float32)
        weights = np.zeros(len(self.tokens), np.float32)
        capitals = [word.capitalize() for word in meanings.words]
        for words in (meanings.words, capitals):
            for ids, vector, count in zip(
                self.encode(list(words)), meanings.vectors, meanings.counts, strict=True
            ):
                # A word that is a token counts for that token as much as all that it is a part of.
                weight = count if len(ids) > 1 else _WHOLE_WORD
                for token in ids:
                    sums[token] += weight * vector
                    weights[token] += weight
        return (sums / np.maximum(weights, 1.0)[:, None]).astype(np.float32)

    def information(self) -> npt.NDArray[np.float32]:
        """How much tokens tell of what is wanted, float32 [tokens]: 0 of those that stand in most
        requests, or in no word, to 1 of those that stand in hardly any."""
        requests = [" ".join((*domain.stems, *domain.paras)) for domain in load_domains()]
        counts = np.zeros(len(self.tokens), np.float32)
        for ids in self.encode(requests):
            counts[list(set(ids))] += 1
        told = np.log(len(requests) / (1 + counts)) / math.log(len(requests))
        says = [token[-1:].isalpha() and len(token) > 1 for token in self.tokens]
        return np.where(says, told, 0).astype(np.float32)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of texts without control tokens."""
        return [
            e.ids for e in self._backend.text.encode_batch_fast(texts, add_special_tokens=False)
        ]


def pieces_of(tokens: list[str], merges: list[str]) -> Callable[[list[str]], list[list[str]]]:
    """What takes words apart into these tokens by these merges, as within a text."""
    vocabulary = NanoVocabulary(tokens, merges)

    def pieces(words: list[str]) -> list[list[str]]:
        # Alone a word that is a token were that token, whether merges lead there or not.
        return [[tokens[i] for i in ids[1:]] for ids in vocabulary.encode([f"_{w}" for w in words])]

    return pieces


def _glosses() -> Iterator[str]:
    lexicon = Lexicon.load()
    for word in (*lexicon.nouns, *lexicon.verbs, *lexicon.adjectives):
        yield from itertools.repeat(f"{word.word} {word.gloss}", _GLOSS_REPEATS)


def _words() -> Iterator[str]:
    """So that frequent words are tokens even where the generator seldom says them."""
    meanings = Meanings.load()
    for word, count in zip(meanings.words, meanings.counts, strict=True):
        yield from itertools.repeat(word, min(count, _MOST_REPEATS))


def _texts(drawn: Iterable[Scene]) -> Iterator[str]:
    for scene in drawn:
        pieces = [*write_prefix(scene.system, scene.tools)]
        for branch in scene.branches:
            pieces += write_messages(branch.messages)
        yield from (piece.text for piece in pieces if not piece.is_control)
