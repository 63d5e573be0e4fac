"""Makes tools: those of `domains.toml` in other words each time, and invented ones."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from pyslm.finetune.data.files import Lexicon, Word, load_toml
from pyslm.finetune.data.names import identifier, spoken
from pyslm.finetune.data.spec import Param, ToolSpec
from pyslm.finetune.data.values import Values

__all__ = ["Toolbox"]

_INVENTED_WORDS = 0.1
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
        self._kinds: dict[str, Any] = load_toml("kinds.toml")
        self._choices = load_toml("choices.toml")["choice"]
        self._domains: list[dict[str, Any]] = load_toml("domains.toml")["tool"]
        actions = load_toml("actions.toml")
        self._asks = [group.split("|") for group in actions["asks"]]
        self._does = [group.split("|") for group in actions["does"]]
        self._frames: list[str] = load_toml("frames.toml")["descriptions"]

    def draw(self, count: int, domain_share: float = 0.4) -> list[ToolSpec]:
        """`count` tools of different topics; some of them share a verb or a noun."""
        tools: list[ToolSpec] = []
        topics: set[str] = set()
        related: tuple[list[str], Word] | None = None
        while len(tools) < count:
            if self._rng.random() < domain_share:
                tool = self._of_domain(self._rng.choice(self._domains))
            else:
                tool, related = self._invented(related if self._rng.random() < 0.3 else None)
            if tool.topic not in topics and tool.name not in {t.name for t in tools}:
                topics.add(tool.topic)
                tools.append(tool)
        return tools

    # --- tools of domains.toml ----------------------------------------------------------------

    def _of_domain(self, domain: dict[str, Any]) -> ToolSpec:
        rng = self._rng
        params = [self._domain_param(text) for text in domain["params"]]
        name = rng.choice(domain["names"])
        if rng.random() < 0.3:
            name = identifier(spoken(name).split(), rng)
        about = rng.choice(domain["about"])
        act = domain["about"][0].rstrip(".")
        return ToolSpec(
            topic=domain["names"][0],
            name=name,
            description="" if rng.random() < 0.05 else about,
            params=tuple(_distinct(params)),
            acts=(act[0].lower() + act[1:],),
            para_acts=(),
            stems=tuple(domain["stem"]),
            paras=tuple(domain["para"]),
            nouns=(),
            things=(),
            para_things=(),
            gives=tuple((key, self._maker(kind)) for key, _, kind in
                        (text.partition("=") for text in domain["gives"])),
        )  # fmt: skip

    def _domain_param(self, text: str) -> Param:
        slot, _, kind = text.partition("=")
        required = not kind.endswith("?")
        kind, _, topic = kind.rstrip("?").partition(":")
        if kind == "bool":
            schema = self._schema({"type": "boolean"}, "", required)
            return Param(slot, slot, spoken(slot), "switch", (), schema, required)
        return self._param(kind, required, slot, topic)

    def _maker(self, kind: str) -> str:
        return str(self._kinds[kind]["values"]) if kind in self._kinds else kind

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
        shown = rng.choice(group) if rng.random() < 0.4 else verb
        verbs = (verb, shown, rng.choice(group))
        tool = ToolSpec(
            topic=f"{group[0]} {noun.word}",
            name=name,
            description=self._description(shown, thing, noun),
            params=tuple(_distinct([self._any_param() for _ in range(rng.choice(_NUM_PARAMS))])),
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
        if self._rng.random() < _INVENTED_WORDS:
            return Word(self._values.invented(), 0, (), "", "")
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
        text = rng.choice(self._frames).format(act=act, act_s=act).replace(" .", ".")
        if noun.gloss and rng.random() < 0.2:
            text = f"{text.rstrip('.')} ({noun.gloss})."
        return text[0].upper() + text[1:] if rng.random() < 0.8 else text

    def _results(self) -> tuple[tuple[str, str], ...]:
        rng = self._rng
        gives: dict[str, str] = {}
        for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 5))):
            kind = rng.choice(_RESULT_KINDS)
            key = (
                rng.choice(self._kinds[kind]["names"])
                if kind in self._kinds
                else self._values.word()
            )
            if rng.random() < 0.3:
                key = self._values.word()
            gives[key] = self._maker(kind)
        return tuple(gives.items())

    # --- arguments ----------------------------------------------------------------------------

    def _any_param(self) -> Param:
        rng = self._rng
        kind = rng.choice(tuple(self._kinds))
        return self._param(kind, rng.random() < 0.65, "", "")

    def _param(self, kind: str, required: bool, slot: str, topic: str) -> Param:
        rng = self._rng
        entry = self._kinds[kind]
        key = slot if slot and rng.random() < 0.6 else rng.choice(entry["names"] or [slot])
        schema: dict[str, Any] = {"type": entry.get("type", "string")}
        if kind == "choice":
            key, schema["enum"] = self._enum(topic, slot)
        elif kind == "flag" and rng.random() < 0.3:
            key = self._values.word()
        elif not slot and rng.random() < 0.35:  # a name that tells nothing of the kind
            key = "_".join(self._values.word() for _ in range(rng.choice((1, 1, 2))))
        if schema["type"] == "array":
            schema["items"] = {"type": entry.get("items", "string")}
        if "format" in entry and rng.random() < 0.5:
            schema["format"] = entry["format"]
        if rng.random() < 0.2:
            key = identifier(spoken(key).split(), rng).replace(".", "_")
        words = spoken(key)
        about = rng.choice(entry["about"]).replace("{n}", words)
        full = self._schema(schema, about, required)
        return Param(slot, key, words, entry["values"], tuple(entry["carriers"]), full, required)

    def _enum(self, topic: str, slot: str) -> tuple[str, list[str]]:
        rng = self._rng
        groups = [g for g in self._choices if not topic or topic in g["names"]]
        if not topic and rng.random() < 0.35:
            values = list({self._values.word() for _ in range(rng.randint(2, 5))})
            return self._values.word(), sorted(values)
        group = rng.choice(groups)
        values = rng.sample(group["values"], rng.randint(2, min(5, len(group["values"]))))
        return slot or rng.choice(group["names"]), values

    def _schema(self, schema: dict[str, Any], about: str, required: bool) -> dict[str, Any]:
        rng = self._rng
        if not required and rng.random() < 0.3:
            if "enum" in schema:
                schema["default"] = rng.choice(schema["enum"])
            elif schema["type"] == "boolean":
                schema["default"] = rng.random() < 0.3
            elif schema["type"] == "integer":
                schema["default"] = rng.choice((1, 5, 10, 20, 100))
        if about and rng.random() < 0.6:
            schema["description"] = about
        return schema


def _distinct(params: Sequence[Param]) -> list[Param]:
    """Without those whose key is taken; one that a template has a place for takes that name."""
    seen: dict[str, Param] = {}
    slots = {param.slot for param in params if param.slot}
    for param in params:
        if param.slot and (param.key in seen or (param.key in slots and param.key != param.slot)):
            param = dataclasses.replace(param, key=param.slot, words=spoken(param.slot))
        seen.setdefault(param.key, param)
    return list(seen.values())
