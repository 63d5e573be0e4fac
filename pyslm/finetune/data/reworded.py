"""Requests of files in words that are near theirs: what they mean is read, and not remembered.

A request of a file comes again some dozen times in a training. Of its words some become others that
have to do with them: what it asks for stays, and how it is said is new.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import re

from pyslm.finetune.data.domains import Domain
from pyslm.finetune.data.files import Lexicon
from pyslm.finetune.data.meanings import Meanings, near_words
from pyslm.finetune.data.names import content_words
from pyslm.finetune.data.orders import is_order
from pyslm.identifiers import spoken

__all__ = ["reworded"]

_SHARE = 0.6  # of the words that can become others
_NEAREST = 5
_COMMON = 500
_WORD = re.compile(r"(?<![\w{'-])[a-z]{3,}(?![\w}'-])")


def reworded(domain: Domain, rng: random.Random) -> Domain:
    """The tool with requests in other words; those that imply arguments stay as they are."""
    keys = _of_arguments(domain)

    def other(match: re.Match[str]) -> str:
        word = match[0]
        near = () if word in keys or rng.random() >= _SHARE else _near(word)
        return rng.choice(near) if near else word

    def changed(text: str) -> str:
        if " | " in text:
            return text
        start = text.index(" ") if is_order(text) else 0
        return text[:start] + _WORD.sub(other, text[start:])

    return dataclasses.replace(
        domain, stems=tuple(map(changed, domain.stems)), paras=tuple(map(changed, domain.paras))
    )


@functools.lru_cache(maxsize=8192)
def _of_arguments(domain: Domain) -> frozenset[str]:
    """Words that tell which value is whose."""
    texts = (text for param in domain.params for text in (param.key, *param.values))
    return frozenset(word for text in texts for word in spoken(text).split())


@functools.cache
def _near(word: str) -> tuple[str, ...]:
    """Of nouns and what is made of them, for verbs have forms and small words have places."""
    if not content_words(word) or not _is_noun(word):
        return ()
    return tuple(filter(_is_noun, near_words(word)))[:_NEAREST]


def _is_noun(word: str) -> bool:
    """And none of those that stand for much else: "may", "can", "time", "call"."""
    return word.removesuffix("s") in _nouns() and word not in _commonest()


@functools.cache
def _nouns() -> frozenset[str]:
    return frozenset(noun.word for noun in Lexicon.load().nouns)


@functools.cache
def _commonest() -> frozenset[str]:
    return frozenset(Meanings.load().words[:_COMMON])
