"""Requests: what a person says to have a tool called with certain arguments."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
import string
from collections.abc import Mapping, Sequence

from pyslm.finetune.data.files import Lexicon, load_toml
from pyslm.finetune.data.spec import Param, ToolSpec
from pyslm.finetune.data.values import Value, Values

__all__ = ["Given", "Requests"]

_QUOTES = ("'{}'", '"{}"', '"{}"', "“{}”")


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """An argument with the value that a request brings."""

    param: Param
    value: Value


class Requests:
    """Words requests; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, values: Values) -> None:
        self._rng = rng
        self._values = values
        self._frames: Mapping[str, list[str]] = load_toml("frames.toml")
        self._verbs = _verbs()

    # --- values -------------------------------------------------------------------------------

    def value(self, param: Param) -> Value:
        """A value that the parameter's schema allows."""
        rng = self._rng
        if "enum" in param.schema:
            text = rng.choice(param.schema["enum"])
            said = text.replace("_", " ") if rng.random() < 0.7 else text
            return Value(text, said.lower() if rng.random() < 0.2 else said)
        if param.schema["type"] == "boolean":
            on = rng.random() < 0.5
            return Value(on, "on" if on else "off")
        return self._values.draw(param.maker)

    def arguments(self, tool: ToolSpec, optional: float = 0.4) -> list[Given]:
        """Values for all required arguments and some of the others."""
        chosen = [p for p in tool.params if p.required or self._rng.random() < optional]
        return [Given(param, self.value(param)) for param in chosen]

    # --- requests -----------------------------------------------------------------------------

    def request(self, tool: ToolSpec, given: Sequence[Given], paraphrase: bool = False) -> str:
        """A whole request."""
        act = self.act(tool, given, paraphrase)
        first_word = act.split(" ", 1)[0].lower().rstrip(",")
        if act[0] == " ":  # a question about a thing
            text = act[1:]
        elif first_word in self._frames["question_words"] or "'s " in act[:8]:
            text = act + self._rng.choice(("?", "?", "?", ""))
        elif first_word in self._verbs:
            text = self._rng.choice(self._frames["orders"]).format(act=act)
        else:
            text = act + self._rng.choice((".", "", "!"))
        text = self._rng.choice(self._frames["openers"]) + text
        return text[0].upper() + text[1:] if self._rng.random() < 0.8 else text

    def act(self, tool: ToolSpec, given: Sequence[Given], paraphrase: bool = False) -> str:
        """The heart of it: an order, or a question; one with a space before it is complete."""
        rng = self._rng
        things = tool.para_things if paraphrase else tool.things
        acts = (tool.para_acts or tool.paras) if paraphrase else (tool.acts or tool.stems)
        templates = tool.paras if paraphrase else tool.stems
        fitting = _fitting(templates, given)
        if fitting and rng.random() < 0.85:
            template = rng.choice(fitting)
            return self._filled(template, given)
        if things and rng.random() < 0.5:
            question = rng.choice(self._frames["questions"])
            thing = f"{rng.choice(things)} {self._details(given, tool)}".strip()
            return " " + question.format(thing=thing)
        acts = tuple(_fitting(acts, given)) or tool.acts
        if tool.nouns and given:
            return self._arranged(rng.choice(acts), tool, given, paraphrase)
        return self._filled(rng.choice(acts), given)

    def _arranged(self, act: str, tool: ToolSpec, given: Sequence[Given], paraphrase: bool) -> str:
        """An order for an invented tool, with its arguments before, inside or after."""
        rng = self._rng
        rest = list(given)
        nouns = tool.nouns[1:] if paraphrase else tool.nouns[:1]
        if rest and nouns and rng.random() < 0.1:
            frame = rng.choice(self._frames["nominal"])
            return " " + frame.format(t=rng.choice(nouns), d=self._details(rest, tool))
        noun = next((n for n in tool.nouns if act.endswith(f" {n}")), "")
        inner = [g for g in given if self._goes_before_nouns(g)]
        if inner and noun and rng.random() < 0.3:
            chosen = rng.choice(inner)
            rest.remove(chosen)
            said = chosen.param.words if chosen.value.data is True else chosen.value.said
            act = f"{act.removesuffix(noun)}{said} {noun}"
        first = [g for g in rest if not g.param.is_text]
        if first and rng.random() < 0.12:
            chosen = rng.choice(first)
            rest.remove(chosen)
            act = rng.choice(self._frames["fronts"]).format(d=self.detail(chosen, tool), a=act)
        return f"{act} {self._details(rest, tool)}".strip()

    def _goes_before_nouns(self, given: Given) -> bool:
        """ "a red bag", "a covered place" """
        is_word = given.param.maker in ("choice", "thing", "word", "title", "city")
        return given.value.data is True or is_word

    def _filled(self, template: str, given: Sequence[Given]) -> str:
        """The template with its places filled, and what it has no place for added."""
        places = {name for _, name, _, _ in string.Formatter().parse(template) if name}
        inside = {g.param.slot: self._inline(g) for g in given if g.param.slot in places}
        rest = [g for g in given if g.param.slot not in places]
        return f"{template.format(**inside)} {self._details(rest, None)}".strip()

    def _inline(self, given: Given) -> str:
        said = given.value.said
        if given.param.is_text and (said[-1] in "!?." or self._rng.random() < 0.4):
            return self._quoted(said)
        return said

    def _quoted(self, said: str) -> str:
        forms = [form for form in _QUOTES if form[0] not in said]
        return self._rng.choice(forms or _QUOTES[3:]).format(said)

    def _details(self, given: Sequence[Given], tool: ToolSpec | None) -> str:
        """Phrases for arguments, free text last."""
        order = list(given)
        self._rng.shuffle(order)
        order.sort(key=lambda g: g.param.is_text)
        join = self._rng.choice((" ", " ", " ", ", "))
        return join.join(self.detail(g, tool) for g in order)

    def detail(self, given: Given, tool: ToolSpec | None = None) -> str:
        """One argument in a phrase; with a `tool` of which no other fits, in a short one."""
        rng, param, said = self._rng, given.param, given.value.said
        if param.schema["type"] == "boolean":
            return rng.choice(self._frames["flags_on" if given.value.data else "flags_off"]).format(
                n=param.words
            )
        alike = [p for p in tool.params if p.schema["type"] == param.schema["type"]] if tool else ()
        if len(alike) == 1 and "enum" not in param.schema and rng.random() < 0.3:
            return rng.choice(self._frames["bare"]).format(v=self._inline(given))
        plain = rng.random() < 0.4 or not param.carriers
        own = any(word in param.key for word in ("_",)) or param.words not in said
        carriers = (
            self._frames["details"] if plain and own else param.carriers or self._frames["details"]
        )
        needs_quotes = param.is_text and said[-1] in "!?."
        if needs_quotes:
            carriers = [c for c in param.carriers if "{q}" in c] or ["with {n} {q}"]
        carrier = rng.choice(list(carriers))
        text = said if not param.is_text or rng.random() < 0.6 else self._quoted(said)
        return carrier.format(n=param.words, v=text, q=self._quoted(said))


@functools.cache
def _verbs() -> frozenset[str]:
    """Words with which an order begins."""
    groups = itertools.chain(*load_toml("actions.toml").values())
    known = {word.split()[0] for group in groups for word in group.split("|")}
    return frozenset(
        known
        | {word.word for word in Lexicon.load().verbs}
        | set(load_toml("frames.toml")["verbs"])
    )


def _fitting(templates: Sequence[str], given: Sequence[Given]) -> list[str]:
    """Those whose places can all be filled."""
    slots = {g.param.slot for g in given}
    return [
        template
        for template in templates
        if all(name in slots for _, name, _, _ in string.Formatter().parse(template) if name)
    ]
