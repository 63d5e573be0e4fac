"""Makes tools: those that are about something, and invented ones."""

from __future__ import annotations

import dataclasses
import random

from pyslm.finetune.data.domain_tools import DomainTools
from pyslm.finetune.data.files import Lexicon, Word, load_toml
from pyslm.finetune.data.meanings import Meanings, near_words
from pyslm.finetune.data.names import identifier
from pyslm.finetune.data.orders import third_person
from pyslm.finetune.data.params import Params, distinct
from pyslm.finetune.data.spec import ToolSpec
from pyslm.finetune.data.values import Values
from pyslm.identifiers import spoken

__all__ = ["Toolbox"]

_DOMAIN_SHARE = 0.7
_PLAIN_DOMAIN_SHARE = 0.85
_ONE_VERB = 0.4  # scenes whose tools are named by one: who chooses must look further
_VERBS = (
    "get", "get", "get", "get", "list", "find", "search", "check", "create", "add", "update", "set",
    "book", "send", "fetch", "show", "query", "manage",
)  # fmt: skip
_INVENTED_WORDS = 0.1
_ANY_WORDS = 0.4  # and those that are invented
_MOST_NEAR = 4  # words that have to do with a tool's, for requests in other words
_NUM_PARAMS = (0, 1, 1, 2, 2, 3, 4)
_RESULT_KINDS = (
    "code",
    "count",
    "word",
    "title",
    "money",
    "measure",
    "city",
    "person",
    "date",
    "time",
)


class Toolbox:
    """Draws tools; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, values: Values) -> None:
        self._rng = rng
        self._values = values
        self._lexicon = Lexicon.load()
        self._params = Params(rng, values)
        self._domains = DomainTools(rng, values, self._params)
        actions = load_toml("actions.toml")
        self._asks = [group.split("|") for group in actions["asks"]]
        self._does = [group.split("|") for group in actions["does"]]
        self._frames: list[str] = load_toml("frames.toml")["descriptions"]

    def draw(
        self, count: int, domain_share: float | None = None, plain: bool = False
    ) -> list[ToolSpec]:
        """`count` tools of different topics; some of them share a verb or a noun.

        If they are `plain`, most are of files, and called as files have it.
        """
        if domain_share is None:
            domain_share = _PLAIN_DOMAIN_SHARE if plain else _DOMAIN_SHARE
        tools: list[ToolSpec] = []
        topics: list[set[str]] = []
        related: tuple[list[str], Word] | None = None
        while len(tools) < count:
            if self._rng.random() < domain_share:
                tool = self._domains.draw(plain)
            else:
                tool, related = self._invented(related if self._rng.random() < 0.3 else None)
            topic = set(spoken(tool.topic).split())
            is_new = tool.name not in {t.name for t in tools}
            if is_new and not any(_alike(topic, other) for other in topics):
                topics.append(topic)
                tools.append(tool)
        return self._of_one_verb(tools) if self._rng.random() < _ONE_VERB else tools

    def _of_one_verb(self, tools: list[ToolSpec]) -> list[ToolSpec]:
        """Most under names that begin with the same word: get_weather, get_current_time."""
        rng = self._rng
        verb, camel = rng.choice(_VERBS), rng.random() < 0.25
        named: dict[str, ToolSpec] = {}
        for tool in tools:
            words = spoken(tool.name).split()
            rest = words[1:] if len(words) > 2 or words[0] == verb else words
            name = verb + "".join(word.capitalize() if camel else f"_{word}" for word in rest)
            if not rest or name in named or rng.random() < 0.2:
                name = tool.name
            named[name] = dataclasses.replace(tool, name=name)
        return list(named.values()) if len(named) == len(tools) else tools

    # --- invented tools -----------------------------------------------------------------------

    def _invented(
        self, related: tuple[list[str], Word] | None
    ) -> tuple[ToolSpec, tuple[list[str], Word]]:
        rng = self._rng
        asks = rng.random() < 0.5
        group, noun = self._verbs(asks), self._noun()
        if related is not None:  # hard to tell apart: the same verb or the same noun
            group, noun = (related[0], noun) if rng.random() < 0.5 else (group, related[1])
        asks = group in self._asks
        modifier = self._modifier()
        verb = rng.choice([v for v in group if " " not in v] or group)
        name = identifier([verb, *modifier, noun.word], rng)
        thing = " ".join([*modifier, noun.word])
        others = [" ".join([*modifier, synonym]) for synonym in self._alike(noun)]
        near = near_words(noun.word)
        others += rng.sample(near, min(len(near), rng.randint(0, _MOST_NEAR)))
        shown = rng.choice(group) if rng.random() < 0.4 else verb
        verbs = (verb, shown, rng.choice(group))
        tool = ToolSpec(
            topic=f"{group[0]} {noun.word}",
            name=name,
            description=self._description(shown, thing, noun),
            params=tuple(distinct(self._params.some(rng.choice(_NUM_PARAMS)))),
            acts=tuple(f"{v} {self._article()}{thing}" for v in dict.fromkeys(verbs)),
            para_acts=tuple(f"{rng.choice(group)} {self._article()}{other}" for other in others),
            stems=(),
            paras=(),
            nouns=(thing, *others),
            things=(thing,) if asks else (),
            para_things=tuple(others) if asks else (),
            gives=self._results(),
        )  # fmt: skip
        return tool, (group, noun)

    def _verbs(self, asks: bool) -> list[str]:
        rng = self._rng
        if rng.random() < _INVENTED_WORDS:
            return [self._values.invented()]
        if rng.random() < 0.12:
            verb = rng.choice(self._lexicon.verbs)
            return [verb.word, *verb.synonyms]
        return rng.choice(self._asks if asks else self._does)

    def _noun(self) -> Word:
        draw = self._rng.random()
        if draw < _INVENTED_WORDS:
            return Word(self._values.invented(), 0, (), "", "")
        if draw < _ANY_WORDS:
            return Word(self._rng.choice(Meanings.load().words), 0, (), "", "")
        return self._rng.choice(self._lexicon.nouns)

    def _modifier(self) -> list[str]:
        rng = self._rng
        draw = rng.random()
        if draw < 0.55:
            return []
        return [rng.choice(self._lexicon.nouns if draw < 0.85 else self._lexicon.adjectives).word]

    def _alike(self, noun: Word) -> list[str]:
        """Other words for it, and what it is in other words."""
        gloss = noun.gloss.removeprefix("a ").removeprefix("an ").removeprefix("the ")
        return [w for w in (*noun.synonyms, noun.hypernym, gloss) if w and noun.word not in w]

    def _article(self) -> str:
        return self._rng.choice(("a ", "the ", "the ", "my ", "our ", "", "this ", "all "))

    def _description(self, verb: str, thing: str, noun: Word) -> str:
        rng = self._rng
        if rng.random() < 0.1:
            return ""
        act = f"{verb} {rng.choice(('a ', 'the ', 'some ', ''))}{thing}"
        text = rng.choice(self._frames).format(act=act, act_s=third_person(act)).replace(" .", ".")
        if noun.gloss and rng.random() < 0.2:
            text = f"{text.rstrip('.')} ({noun.gloss})."
        return text[0].upper() + text[1:] if rng.random() < 0.8 else text

    def _results(self) -> tuple[tuple[str, str], ...]:
        rng = self._rng
        gives: dict[str, str] = {}
        for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 5))):
            kind = rng.choice(_RESULT_KINDS)
            names = self._params.names(kind) if rng.random() < 0.7 else []
            key = rng.choice(names) if names else self._values.word()
            gives[key] = self._params.maker(kind)
        return tuple(gives.items())


def _alike(topic: set[str], other: set[str]) -> bool:
    """Whether a request could mean the one or the other."""
    return 2 * len(topic & other) >= len(topic | other)
