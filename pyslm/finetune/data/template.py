"""Requests with places for arguments."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence

from pyslm.errors import InvalidRequestError
from pyslm.finetune.data.orders import is_order

__all__ = ["Template", "fitting"]

_PLACE = re.compile(r"\{(\w+)\}")
_IMPLIED = re.compile(r" *(?P<key>\w+)=(?P<value>[^|]+)")
_BEFORE = (
    "for|to|at|in|of|on|with|by|from|near|called|named|titled|about|number|as|saying|via|into|onto|"
    "over|under|using|the|is"
)
_AFTER = "for|to|at|in|of|on|with|by|from|near|as|via|into|onto|over|under|and|up|off|out|{"
_UNITS = (
    "seconds|minutes|min|hours|days|weeks|months|years|grams|g|kg|kilos|liters|litres|tons|tonnes|meters|metres|"
    "cm|mm|km|miles|percent|degrees|euros|dollars|bucks|people|persons|guests|pieces|points|pages|times"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """A request with places for arguments.

    Attributes:
        text: "{slot}" stands for a value.
        slots: of the places.
        implied: slots with the values, as JSON, that the words mean: ("large", "true").
    """

    text: str
    slots: frozenset[str]
    implied: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, line: str) -> Template:
        """From "text | key=value; key=value".

        Raises:
            InvalidRequestError: What stands behind the bar is something else.
        """
        text, bar, implied = line.partition(" | ")
        pairs = tuple(_IMPLIED.fullmatch(part) for part in implied.split(";")) if bar else ()
        if not all(pairs):
            raise InvalidRequestError(
                f"{line!r} is no request; allowed: 'text' and 'text | key=value; key=value'"
            )
        slots = frozenset(_PLACE.findall(text))
        return cls(text, slots, tuple((m["key"], m["value"].strip()) for m in pairs if m))

    def without(self, slot: str) -> Template | None:
        """The same without the place, or with words that tell no value; None: it can't be."""
        return _without(self, slot)


@functools.lru_cache(maxsize=20_000)
def _without(template: Template, slot: str) -> Template | None:
    at_end, at_start, inside, object_of_verb = _places(slot)
    text = at_end.sub(r"\1", template.text)
    text = inside.sub("", at_start.sub("", text))
    if is_order(text) and slot not in _BEFORE.split("|"):  # "sign {donor} up": "sign a donor up"
        thing = slot.replace("_", " ")
        article = "some" if slot.endswith("s") else "an" if thing[0] in "aeiou" else "a"
        text = object_of_verb.sub(rf"\1 {article} {thing}", text)
    if f"{{{slot}}}" in text or " " not in text:
        return None  # it stands where a sentence needs it, or nothing is left
    return Template(text, template.slots - {slot}, template.implied)


@functools.cache
def _places(slot: str) -> tuple[re.Pattern[str], ...]:
    """Where it can be left out: at the end, at the start, inside, and behind a verb."""
    place = rf"[\"']?{re.escape(f'{{{slot}}}')}[\"']?(?: (?:{_UNITS}))?"
    return (
        re.compile(rf"[,:;]?(?: (?:{_BEFORE}))* {place}(\??)$"),
        re.compile(rf"^{place}[,:]? (?=\w+ing\b|(?:a|the) )"),
        re.compile(rf"[,:;]?(?: (?:{_BEFORE}))+ {place}(?=[,:;]| (?:{_AFTER})\b)"),
        re.compile(rf"^(\w+) {place}(?=$|[,:;?]| (?:{_AFTER})\b)"),
    )


def fitting(
    templates: Sequence[Template], values: Mapping[str, object], absent: Sequence[str]
) -> list[Template]:
    """Those whose places can all be filled, and which imply nothing that is not meant.

    Args:
        values: of arguments that are given, by slot.
        absent: slots of required arguments that are not: templates are cut short by them.
    """
    found: list[Template] = []
    for template in templates:
        cut: Template | None = template
        for slot in absent:
            cut = cut.without(slot) if cut and slot in cut.slots else cut
        if (
            cut
            and cut.slots <= values.keys()
            and all(slot in values and _same(values[slot], text) for slot, text in cut.implied)
        ):
            found.append(cut)
    return found


def _same(value: object, text: str) -> bool:
    return (value if isinstance(value, str) else json.dumps(value)) == text
