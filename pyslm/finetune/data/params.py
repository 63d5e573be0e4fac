"""Arguments of tools: their names, schemas and values."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from pyslm.finetune.data.domains import DomainParam
from pyslm.finetune.data.files import load_toml
from pyslm.finetune.data.names import identifier
from pyslm.finetune.data.spec import Param
from pyslm.finetune.data.values import Values
from pyslm.identifiers import spoken

__all__ = ["Params", "distinct"]

_KINDS = {"bool": "flag", "enum": "choice", "like": "item", "list": "items"}  # of files
_OF_ONE_TYPE = 0.4
_MORE = (
    "flag",
    "flag",
    "flag",
    "flag",
    "number",
    "count",
    "duration",
    "measure",
    "choice",
    "item",
    "period",
)
_WITH_ANOTHER_WORD = 0.25  # a key that comes a thousand times is remembered and no longer read


class Params:
    """Draws arguments; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, values: Values) -> None:
        self._rng = rng
        self._values = values
        self._kinds: dict[str, Any] = load_toml("kinds.toml")
        self._numbers = [
            k for k, v in self._kinds.items() if v.get("type") in ("integer", "number")
        ]
        self._texts = ["person", "city", "title", "item"]
        self._choices = load_toml("choices.toml")["choice"]

    def maker(self, kind: str) -> str:
        """The maker of `Values` for a kind of `kinds.toml`; other words are makers themselves."""
        return str(self._kinds[kind]["values"]) if kind in self._kinds else kind

    def names(self, kind: str) -> Sequence[str]:
        """What an argument of the kind may be called; empty where it is no kind."""
        return list(self._kinds[kind]["names"]) if kind in self._kinds else []

    def some(self, count: int) -> list[Param]:
        """Of any kinds, or all of one type: which is which is then in their names alone."""
        kinds = list(self._kinds)
        if count > 1 and self._rng.random() < _OF_ONE_TYPE:
            kinds = self._rng.choice((self._numbers, self._numbers, self._texts))
        return [self._any(self._rng.choice(kinds), self._rng.random() < 0.65) for _ in range(count)]

    def more(self) -> Param:
        """An optional one that any tool may have: mostly a boolean or a number."""
        return self._any(self._rng.choice(_MORE), required=False)

    def _any(self, kind: str, required: bool) -> Param:
        rng = self._rng
        schema = self._typed(kind)
        if kind == "choice":
            key, schema["enum"] = self._enum("")
        else:
            key = rng.choice(self._kinds[kind]["names"])
            if kind == "flag" and rng.random() < 0.6:
                key = self._values.word()
            elif rng.random() < 0.35:  # a name that tells nothing of the kind
                key = "_".join(self._values.word() for _ in range(rng.choice((1, 1, 2))))
        return self._param(kind, self._styled(key, 0.2), "", schema, required, "")

    def of_domain(self, domain: DomainParam, plain: bool = False) -> Param:
        """An argument that a file describes; sometimes under another name, if not `plain`."""
        rng, key = self._rng, domain.key
        kind = _KINDS.get(domain.kind, domain.kind)
        schema = self._typed(kind)
        if domain.kind == "choice":
            _, schema["enum"] = self._enum(domain.values[0])
        elif domain.kind == "enum":
            schema["enum"] = list(domain.values)
        elif not plain and domain.kind not in ("bool", "like", "list") and rng.random() < 0.1:
            key = rng.choice(self._kinds[kind]["names"])
        samples = domain.values if domain.kind in ("like", "list") else ()
        if not plain and rng.random() < _WITH_ANOTHER_WORD:
            words = [key, self._values.word()]
            rng.shuffle(words)
            key = "_".join(words)
        key = self._styled(key, 0.1)
        return self._param(kind, key, domain.key, schema, domain.required, domain.about, samples)

    def _typed(self, kind: str) -> dict[str, Any]:
        entry = self._kinds[kind]
        schema: dict[str, Any] = {"type": entry.get("type", "string")}
        if schema["type"] == "array":
            schema["items"] = {"type": entry.get("items", "string")}
        if "format" in entry and self._rng.random() < 0.5:
            schema["format"] = entry["format"]
        return schema

    def _param(
        self,
        kind: str,
        key: str,
        slot: str,
        schema: dict[str, Any],
        required: bool,
        about: str,
        samples: tuple[str, ...] = (),
    ) -> Param:
        entry, words = self._kinds[kind], spoken(key)
        if not about or self._rng.random() < 0.3:
            about = self._rng.choice(entry["about"]).replace("{n}", words)
            if samples:
                about = ""  # "name of the product" describes no drink
        full = self._schema(schema, about, required)
        carriers = tuple(entry["carriers"])
        return Param(slot, key, words, entry["values"], carriers, full, required, samples)

    def _styled(self, key: str, share: float) -> str:
        """The name, sometimes in another style."""
        if self._rng.random() >= share:
            return key
        return identifier(spoken(key).split(), self._rng).replace(".", "_")

    def _enum(self, topic: str) -> tuple[str, list[str]]:
        rng = self._rng
        groups = [g for g in self._choices if not topic or topic in g["names"]]
        if not topic and rng.random() < 0.35:
            values = list({self._values.word() for _ in range(rng.randint(2, 5))})
            return self._values.word(), sorted(values)
        group = rng.choice(groups)
        values = rng.sample(group["values"], rng.randint(2, min(5, len(group["values"]))))
        return rng.choice(group["names"]), values

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


def distinct(params: Sequence[Param]) -> list[Param]:
    """Without those whose key is taken; one that a template has a place for takes that name."""
    seen: dict[str, Param] = {}
    slots = {param.slot for param in params if param.slot}
    for param in params:
        if param.slot and (param.key in seen or (param.key in slots and param.key != param.slot)):
            param = dataclasses.replace(param, key=param.slot, words=spoken(param.slot))
        seen.setdefault(param.key, param)
    return list(seen.values())
