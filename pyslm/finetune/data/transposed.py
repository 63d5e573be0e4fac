"""Tools of files about something else: so that they are read, and not remembered.

Words of a tool become any others, in its names, its descriptions and its requests alike. The
sentences stay as people say them, and what is said in them was never said before: a request finds
its tool, or that there is none, by the words alone.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import re
from collections.abc import Mapping

from pyslm.finetune.data.domains import Domain
from pyslm.finetune.data.files import Lexicon
from pyslm.finetune.data.names import content_words
from pyslm.finetune.data.orders import begins_with_verb
from pyslm.finetune.everyday import everyday_words
from pyslm.identifiers import spoken

__all__ = ["transposed"]

_MOST = 4  # words of a tool
_FREQUENT = 3000
_IN_TEXT = re.compile(r"(?<![\w{])[A-Za-z]{2,}(?![\w}])")
_IN_NAME = re.compile(r"[A-Z]?[a-z]{2,}")


def transposed(domain: Domain, rng: random.Random) -> Domain:
    """The tool about something else, without requests in other words than its own."""
    words = _own_words(domain)
    others = {word: _another(word, rng) for word in rng.sample(words, min(len(words), _MOST))}

    def replaced(text: str, pattern: re.Pattern[str] = _IN_TEXT) -> str:
        text, bar, implied = text.partition(" | ")
        return pattern.sub(lambda match: _as_written(match[0], others), text) + bar + implied

    return dataclasses.replace(
        domain,
        names=tuple(replaced(name, _IN_NAME) for name in domain.names),
        about=tuple(map(replaced, domain.about)),
        params=tuple(
            dataclasses.replace(param, about=replaced(param.about)) for param in domain.params
        ),
        stems=tuple(map(replaced, domain.stems)),
        paras=(),
    )


@functools.lru_cache(maxsize=4096)
def _own_words(domain: Domain) -> tuple[str, ...]:
    """Of its names; none that stands in an argument's key or values, which stay as they are."""
    keys = {
        word
        for param in domain.params
        for text in (param.key, *param.values)
        for word in spoken(text).split()
    }
    words = dict.fromkeys(word for name in domain.names for word in content_words(spoken(name)))
    return tuple(word for word in words if word not in keys)


@functools.cache
def _frequent() -> tuple[str, ...]:
    return tuple(word.word for word in Lexicon.load().nouns[:_FREQUENT])


def _another(word: str, rng: random.Random) -> str:
    """A verb for a verb, for orders stay orders."""
    if begins_with_verb(word):
        return rng.choice(Lexicon.load().verbs).word
    return rng.choice(everyday_words() if rng.random() < 0.5 else _frequent())


def _as_written(word: str, others: Mapping[str, str]) -> str:
    """The other word, with the capital and the plural of the one that it stands for."""
    low = word.lower()
    other = others.get(low)
    if other is None and low.endswith("s") and low[:-1] in others:
        other = others[low[:-1]] + "s"
    if other is None:
        return word
    return other.capitalize() if word[0].isupper() else other
