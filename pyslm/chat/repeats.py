"""Where a call gives to two arguments what was said once.

A very small model that is not sure whose value one is gives it to both. Something else stands in
one of the two places, or nothing, if it was not to be given.
"""

from __future__ import annotations

import bisect
import itertools
import json
import re
from collections.abc import Callable, Sequence

__all__ = ["repeats"]

_PART = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"\s*:)|(?P<text>"(?:[^"\\]|\\.)+")|(?P<number>-?\d+(?:\.\d+)?)'
)


def repeats(ids: Sequence[int], said: str, decode: Callable[[Sequence[int]], str]) -> list[int]:
    """Indices of tokens that something else could stand for, in their order; none: no repeats.

    These are the first of each such value, and the comma before it.

    Args:
        ids: of one call; its arguments are JSON.
        said: what values are quoted from. One that it has as often as the call, alone or inside
            of other values, is no repeat, nor is one that it does not have.
        decode: tokens -> text.
    """
    begins = list(itertools.accumulate((len(decode([token])) for token in ids), initial=0))
    text = "".join(decode([token]) for token in ids)
    values = _values(text)
    found: set[int] = set()
    for value in {value for value, *_ in values}:
        having = [places for other, *places in values if _times(value, other)]
        if 0 < _times(value, said) < len(having):
            found.update(place for places in having for place in places if place is not None)
    return sorted({bisect.bisect_right(begins, place) - 1 for place in found})


def _times(value: str, text: str) -> int:
    """How often a text has it, from the beginning of a word to the end of one."""
    return len(re.findall(rf"(?<!\w){re.escape(value)}(?!\w)", text))


def _values(call: str) -> list[tuple[str, int, int | None]]:
    """Texts and numbers in the arguments: each with its place and that of the comma before it."""
    found = []
    key = None
    for match in _PART.finditer(call):
        if match["key"]:
            key = match
            continue
        member = key if key is not None and not call[key.end() : match.start()].strip() else match
        before = call[: member.start()].rstrip()
        comma = len(before) - 1 if before.endswith(",") else None
        found.append((_plain(match[0]), match.start() + (match["text"] is not None), comma))
    return found


def _plain(value: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value
    except ValueError:  # an escape that is none
        return value
