"""Which texts are orders: "send a letter", and not "letter to Ann" or "order 12 is late"."""

from __future__ import annotations

import functools
import itertools

from pyslm.finetune.data.files import Lexicon, load_toml
from pyslm.finetune.data.names import content_words
from pyslm.identifiers import spoken

__all__ = ["begins_with_verb", "is_order", "third_person", "title_of"]

_AFTER_VERB = frozenset(
    {"a", "an", "the", "my", "our", "your", "his", "her", "this", "that", "these", "those", "all",
     "any", "some", "me", "us", "it", "them", "up", "on", "off", "out", "in", "down", "for", "to",
     "at", "with", "every", "each", "everything", "everyone", "another"}
)  # fmt: skip
_IRREGULAR = {"be": "is", "have": "has"}
_HISSES = ("s", "x", "z", "ch", "sh", "o")


def begins_with_verb(text: str) -> bool:
    """Whether the first word can be a verb."""
    return text.split(" ", 1)[0].lower().rstrip(",") in _verbs()


def is_order(text: str) -> bool:
    """Whether it begins with a verb and goes on as orders do."""
    first, _, rest = text.partition(" ")
    if first.lower() not in _actions():
        return False
    return rest.split(" ", 1)[0].lower() in _AFTER_VERB or rest.startswith(("{", '"'))


def title_of(name: str) -> str:
    """What an identifier names beside its verb: "task" of "add_task", "club" of "club.join".

    "" where that is no noun.
    """
    group, _, last = name.rpartition(".")
    words = spoken(last).split()
    if words[0] in _actions():
        words = words[1:]
    elif words[-1] in _actions():
        words = words[:-1]
    title = f"{spoken(group)} {' '.join(words)}".strip()
    is_noun = content_words(title) and title.split()[0] not in _AFTER_VERB
    return title if is_noun else ""


def third_person(order: str) -> str:
    """ "book a room" -> "books a room" """
    verb, _, rest = order.partition(" ")
    if verb in _IRREGULAR:
        verb = _IRREGULAR[verb]
    elif verb.endswith("y") and verb[-2:-1] not in "aeiou":
        verb = f"{verb[:-1]}ies"
    else:
        verb += "es" if verb.endswith(_HISSES) else "s"
    return f"{verb} {rest}".rstrip()


@functools.cache
def _actions() -> frozenset[str]:
    groups = itertools.chain(*load_toml("actions.toml").values())
    known = {word.split()[0] for group in groups for word in group.split("|")}
    return frozenset(known | set(load_toml("frames.toml")["verbs"]))


@functools.cache
def _verbs() -> frozenset[str]:
    return _actions() | {word.word for word in Lexicon.load().verbs}
