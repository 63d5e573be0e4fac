"""The tools of `domains`, often under other names."""

from __future__ import annotations

import functools
import itertools
import random

from pyslm.finetune.data.domains import Domain, load_domains
from pyslm.finetune.data.names import content_words, identifier
from pyslm.finetune.data.orders import is_order, title_of
from pyslm.finetune.data.params import Params, distinct
from pyslm.finetune.data.reworded import reworded
from pyslm.finetune.data.spec import ToolSpec
from pyslm.finetune.data.template import Template
from pyslm.finetune.data.transposed import transposed
from pyslm.finetune.data.values import Values
from pyslm.identifiers import spoken

__all__ = ["DomainTools"]

_KEPT = 8192  # tools: changed ones do not come again
_CHOICES = ("bool", "enum", "choice")
_NO_DESCRIPTION = 0.04
_OTHER_STYLE = 0.25
# A name that comes a thousand times is remembered and no longer read.
_OF_OTHER_WORDS = 0.25
_WITH_ANOTHER_WORD = 0.3
_TELLS_NOTHING = 0.12
_ABOUT_ANYTHING = 0.3
_IN_OTHER_WORDS = 0.4
_ONE_MORE = 0.35  # arguments that templates know nothing of: said beside them, or not said
# Whose a value is must be known by what it means, not by its place.
_OTHER_ORDER = 0.5
_REQUIRED_FIRST = 0.85  # as those of functions are
# Times as often as others:
_CONFUSABLE = 2.5  # which value is whose has to be read there
_WITH_PERIODS = 4.0  # whose second day is no value


class DomainTools:
    """Draws them; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, values: Values, params: Params) -> None:
        self._rng = rng
        self._values = values
        self._params = params

    def draw(self, plain: bool = False) -> ToolSpec:
        """One of them; a `plain` one has the names and keys of its file."""
        rng = self._rng
        (domain,) = rng.choices(load_domains(), cum_weights=_cumulative_weights())
        change = rng.random()
        if change < _ABOUT_ANYTHING:
            domain = transposed(domain, rng)
        elif change < _ABOUT_ANYTHING + _IN_OTHER_WORDS:
            domain = reworded(domain, rng)
        params = [self._params.of_domain(param, plain) for param in domain.params]
        if rng.random() < _ONE_MORE:
            params.insert(rng.randint(0, len(params)), self._params.more())
        if rng.random() < _OTHER_ORDER:
            rng.shuffle(params)
        if rng.random() < _REQUIRED_FIRST:
            params.sort(key=lambda param: not param.required)
        about = "" if rng.random() < _NO_DESCRIPTION else rng.choice(domain.about)
        acts = _acts(domain)
        return ToolSpec(
            topic=" ".join(domain.names),
            name=self._in_a_style(rng.choice(domain.names)) if plain else self._name(domain, about),
            description=about,
            params=tuple(distinct(params)),
            acts=acts,
            para_acts=(),
            stems=_templates(domain)[0],
            paras=_templates(domain)[1],
            nouns=(),
            things=(),
            para_things=(),
            gives=tuple((key, self._params.maker(kind)) for key, kind in domain.gives),
            titles=_titles(domain),
        )

    def _name(self, domain: Domain, about: str) -> str:
        rng = self._rng
        draw = rng.random()
        name = rng.choice(domain.names)
        words = spoken(name).split()
        if about and draw < _TELLS_NOTHING:
            number = rng.choice(("", "", "", str(rng.randint(1, 99))))
            return (
                identifier([self._values.word() for _ in range(rng.choice((1, 2)))], rng) + number
            )
        draw -= _TELLS_NOTHING
        if draw < _OF_OTHER_WORDS:
            known = _words(domain)
            return identifier(rng.sample(known, min(len(known), rng.choice((2, 2, 3)))), rng)
        draw -= _OF_OTHER_WORDS
        if draw < _WITH_ANOTHER_WORD:
            words.insert(rng.randint(0, len(words)), self._values.word())
            return identifier(words, rng)
        return self._in_a_style(name)

    def _in_a_style(self, name: str) -> str:
        """As it is, or as others would write it."""
        rng = self._rng
        return identifier(spoken(name).split(), rng) if rng.random() < _OTHER_STYLE else name


@functools.cache
def _cumulative_weights() -> tuple[float, ...]:
    """Of all tools, in their order."""
    return tuple(itertools.accumulate(map(_weight, load_domains())))


def _weight(domain: Domain) -> float:
    kinds = [param.kind for param in domain.params if param.kind not in _CHOICES]
    if "period" in kinds:
        return _WITH_PERIODS
    return _CONFUSABLE if len(set(kinds)) < len(kinds) else 1.0


@functools.lru_cache(maxsize=_KEPT)
def _words(domain: Domain) -> tuple[str, ...]:
    """Of its names and its first description."""
    texts = (*map(spoken, domain.names), domain.about[0].lower())
    return tuple(dict.fromkeys(word for text in texts for word in content_words(text)))


@functools.lru_cache(maxsize=_KEPT)
def _acts(domain: Domain) -> tuple[str, ...]:
    """What it does, as orders; its first description where none is one."""
    texts = [about.rstrip(".") for about in domain.about]
    orders = [text for text in texts if is_order(text.lower())] or texts[:1]
    return tuple(text[0].lower() + text[1:] for text in orders)


@functools.lru_cache(maxsize=_KEPT)
def _titles(domain: Domain) -> tuple[str, ...]:
    """Its names without their verbs."""
    return tuple(dict.fromkeys(filter(None, map(title_of, domain.names))))


@functools.lru_cache(maxsize=_KEPT)
def _templates(domain: Domain) -> tuple[tuple[Template, ...], tuple[Template, ...]]:
    return tuple(map(Template.read, domain.stems)), tuple(map(Template.read, domain.paras))
