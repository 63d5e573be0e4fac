"""Requests: what a person says to have a tool called with certain arguments."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from collections.abc import Mapping, Sequence

from pyslm.finetune.data.files import load_toml
from pyslm.finetune.data.names import content_words
from pyslm.finetune.data.orders import begins_with_verb, is_order, third_person
from pyslm.finetune.data.spec import Given, Param, ToolSpec
from pyslm.finetune.data.template import Template, fitting
from pyslm.finetune.data.value import Value
from pyslm.finetune.data.values import Values
from pyslm.identifiers import spoken

__all__ = ["Requests"]

_WORDS = re.compile(r"(?<=[a-z,] )[a-z]{3,}(?![a-z}_])")
_ONE_BARE = 0.4
_CHANGED = 0.25  # of a file's values: a text that comes a hundred times is remembered as a whole
_SHORT = 0.1  # of requests for tools that are about something
_QUOTES = ("'{}'", '"{}"', '"{}"', "“{}”")


class Requests:
    """Words requests; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, values: Values) -> None:
        self._rng = rng
        self._values = values
        self._frames: Mapping[str, list[str]] = load_toml("frames.toml")

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
        if not param.samples or rng.random() >= 0.65:
            return self._values.draw(param.maker)
        if param.schema["type"] == "array":
            return self._values.several(lambda: self._sample(param))
        return self._sample(param)

    def _sample(self, param: Param) -> Value:
        """One of the file's, or a change of it."""
        text = self._rng.choice(param.samples)
        change = self._rng.random()
        if change < 0.1 and param.schema["type"] != "array":
            text = self._values.odd(text)
        elif change < 0.1 + _CHANGED:
            text = self._values.changed(text)
        return Value(text, text)

    def arguments(
        self, tool: ToolSpec, optional: float = 0.4, paraphrase: bool = False
    ) -> list[Given]:
        """Values for all required arguments and some of the others: often those of a template."""
        templates = tool.paras if paraphrase else tool.stems
        if templates and self._rng.random() < 0.75:
            template = self._rng.choice(templates)
            meant = dict(template.implied)
            return [
                Given(param, self._meant(param, meant) or self.value(param))
                for param in tool.params
                if param.required
                or param.slot in template.slots
                or param.slot in meant
                or (not param.slot and self._rng.random() < optional)
            ]
        chosen = [p for p in tool.params if p.required or self._rng.random() < optional]
        return [Given(param, self.value(param)) for param in chosen]

    def _meant(self, param: Param, implied: Mapping[str, str]) -> Value | None:
        text = implied.get(param.slot)
        if text is None:
            return None
        is_text = param.schema["type"] == "string"
        return Value(text if is_text else json.loads(text), text)

    # --- requests -----------------------------------------------------------------------------

    def request(self, tool: ToolSpec, given: Sequence[Given], paraphrase: bool = False) -> str:
        """A whole request."""
        act = self.act(tool, given, paraphrase)
        first_word = act.split(" ", 1)[0].lower().rstrip(",")
        as_order = is_order if tool.stems else begins_with_verb
        if act[0] == " ":  # a question about a thing
            text = act[1:]
        elif act[-1] in "?!.":
            text = act
        elif first_word in self._frames["question_words"] or "'s " in act[:8]:
            text = act + self._rng.choice(("?", "?", "?", ""))
        elif as_order(act):
            text = self._rng.choice(self._frames["orders"]).format(act=act)
        else:
            text = act + self._rng.choice((".", ".", "", "", "!"))
        text = self._rng.choice(self._frames["openers"]) + text
        if text[-1] in ".?!" and self._rng.random() < 0.12:
            text += self._rng.choice(self._frames["closers"])
        return text[0].upper() + text[1:] if self._rng.random() < 0.75 else text

    def act(
        self,
        tool: ToolSpec,
        given: Sequence[Given],
        paraphrase: bool = False,
        orders: bool = False,
    ) -> str:
        """The heart of it, an order or a question; one with a space before it is complete.

        With `orders`, templates that are none are passed over.
        """
        rng = self._rng
        things = tool.para_things if paraphrase else tool.things
        templates = tool.paras if paraphrase else tool.stems
        if orders:
            things, templates = (), tuple(t for t in templates if is_order(t.text))
        values = {g.param.slot: g.value.data for g in given}
        lacking = [p.slot for p in tool.params if p.required and p.slot and p.slot not in values]
        able = fitting(templates, values, lacking)
        short = not (paraphrase or orders) and tool.titles and given and rng.random() < _SHORT
        if able and not short and rng.random() < 0.92:
            return self._filled(self._best(able), given, tool)
        given = self._with_one_bare(tool, given)
        if short:
            frame = rng.choice(self._frames["short"])
            return " " + frame.format(t=rng.choice(tool.titles), d=self._details(given, tool))
        if things and rng.random() < 0.5:
            question = rng.choice(self._frames["questions"])
            thing = f"{rng.choice(things)} {self._details(given, tool)}".strip()
            return " " + question.format(thing=thing)
        acts = (paraphrase and tool.para_acts) or tool.acts
        if tool.nouns and given:
            return self._arranged(rng.choice(acts), tool, given, paraphrase, orders)
        return f"{rng.choice(acts)} {self._details(given, tool)}".strip()

    def _best(self, able: Sequence[Template]) -> Template:
        """Mostly one that says most of the arguments in its own words."""
        if self._rng.random() < 0.25:
            return self._rng.choice(able)
        most = max(len(t.slots) + len(t.implied) for t in able)
        return self._rng.choice([t for t in able if len(t.slots) + len(t.implied) == most])

    def _with_one_bare(self, tool: ToolSpec, given: Sequence[Given]) -> list[Given]:
        """Sometimes one goes without its name: it is what is left when all others are known."""
        names = {g.param.key for g in given}
        if self._rng.random() >= _ONE_BARE or any(
            p.required and p.key not in names for p in tool.params
        ):
            return list(given)
        able = [g for g in given if g.param.required and "enum" not in g.param.schema]
        bare = self._rng.choice(able) if able else None
        return [dataclasses.replace(g, bare=True) if g is bare else g for g in given]

    def _arranged(
        self, act: str, tool: ToolSpec, given: Sequence[Given], paraphrase: bool, orders: bool
    ) -> str:
        """An order for an invented tool, with its arguments before, inside or after."""
        rng = self._rng
        rest = list(given)
        nouns = tool.nouns[1:] if paraphrase else tool.nouns[:1]
        if rest and nouns and rng.random() < 0.1 and not orders:
            frame = rng.choice(self._frames["nominal"])
            return " " + frame.format(t=rng.choice(nouns), d=self._details(rest, tool, given))
        who = [g for g in rest if g.param.maker == "person"]
        if who and rng.random() < 0.3 and not orders:
            rest.remove(who[0])
            frame = rng.choice(self._frames["subjects"])
            said = who[0].value.said
            does = third_person(act) if begins_with_verb(act) else f"wants to {act}"
            start = frame.format(who=said, act=act, does=does)
            return f" {start} {self._details(rest, tool, given)}".rstrip()
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
            act = rng.choice(self._frames["fronts"]).format(
                d=self.detail(chosen, tool, given), a=act
            )
        return f"{act} {self._details(rest, tool, given)}".strip()

    def _goes_before_nouns(self, given: Given) -> bool:
        """ "a red bag", "a covered place" """
        is_word = given.param.maker in ("choice", "thing", "word", "title", "city")
        return given.value.data is True or is_word

    def _filled(self, template: Template, given: Sequence[Given], tool: ToolSpec) -> str:
        """The template with its places filled, and what it does not say added."""
        inside = {
            g.param.slot: g.value.said
            if f'{{{g.param.slot}}}"' in template.text  # the template has its quotes
            else self._inline(g)
            for g in given
            if g.param.slot in template.slots
        }
        said = {*inside, *(slot for slot, _ in template.implied)}
        pattern, rest = template.text, []
        for g in given:
            if g.param.slot not in said:
                with_word = self._before_noun(pattern, g, tool)
                pattern = with_word or pattern
                rest += [] if with_word else [g]
        text = pattern.format(**inside)
        if not rest:
            return text
        end = text[-1] if text[-1] in "?!." else ""
        return f"{text.removesuffix(end)} {self._details(rest, None, given)}{end}"

    def _before_noun(self, text: str, given: Given, tool: ToolSpec) -> str:
        """ "a vegan recipe" of "a recipe" that is in the tool's name; "" where nothing is."""
        word = given.param.words
        if given.value.data is not True or " " in word or self._rng.random() < 0.5:
            return ""
        nouns = content_words(spoken(tool.topic))
        found = [m for m in _WORDS.finditer(text) if m[0] in nouns]
        if not found:
            return ""
        place = self._rng.choice(found).start()
        return f"{text[:place]}{word} {text[place:]}"

    def _inline(self, given: Given) -> str:
        said = given.value.said
        share = 0.4 if given.param.is_text else 0.08 if isinstance(given.value.data, str) else 0.0
        return self._quoted(said) if said[-1] in "!?." or self._rng.random() < share else said

    def _quoted(self, said: str) -> str:
        forms = [form for form in _QUOTES if form[0] not in said]
        return self._rng.choice(forms or _QUOTES[3:]).format(said)

    def _details(
        self, given: Sequence[Given], tool: ToolSpec | None, beside: Sequence[Given] = ()
    ) -> str:
        """Phrases for arguments, free text last; `beside` are those that stand elsewhere."""
        order = list(given)
        self._rng.shuffle(order)
        order.sort(key=lambda g: g.param.is_text)
        join = self._rng.choice((" ", " ", " ", ", "))
        return join.join(self.detail(g, tool, (*beside, *order)) for g in order)

    def detail(
        self, given: Given, tool: ToolSpec | None = None, beside: Sequence[Given] = ()
    ) -> str:
        """One argument in a phrase; with a `tool` of which no other fits, in a short one.

        Where one `beside` it could be meant as well, the phrase names it.
        """
        rng, param, said = self._rng, given.param, given.value.said
        if param.schema["type"] == "boolean":
            return rng.choice(self._frames["flags_on" if given.value.data else "flags_off"]).format(
                n=param.words
            )
        alike = [p for p in tool.params if _type(p) == _type(param)] if tool else ()
        alone = len(alike) == 1 and "enum" not in param.schema and rng.random() < 0.3
        if alone or given.bare:
            return rng.choice(self._frames["bare"]).format(v=self._inline(given))
        plain = rng.random() < 0.4 or not param.carriers
        own = any(word in param.key for word in ("_",)) or param.words not in said
        carriers = (
            self._frames["details"] if plain and own else param.carriers or self._frames["details"]
        )
        known = param.carriers
        if any(_mistakable(given, other) for other in beside):
            known = tuple(c for c in known if "{n}" in c)
            carriers = [*known, *self._frames["details"]]
        needs_quotes = said[-1] in "!?."
        if needs_quotes:
            carriers = [c for c in known if "{q}" in c] or ["with {n} {q}"]
        carrier = rng.choice(list(carriers))
        text = said if not param.is_text or rng.random() < 0.6 else self._quoted(said)
        return carrier.format(n=param.words, v=text, q=self._quoted(said))


def _mistakable(given: Given, other: Given) -> bool:
    numbers = _type(given.param) == _type(other.param) == "number"
    return other is not given and (numbers or given.param.maker == other.param.maker)


def _type(param: Param) -> str:
    """One for whole numbers and others."""
    return str(param.schema["type"]).replace("integer", "number")
