"""Where a call gives to two arguments what was said once.

A very small model that is not sure whose value one is gives it to both. Something else stands in
one of the two places, or nothing, if it was not to be given.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from pyslm.chat.call_values import call_values, saying

__all__ = ["repeats"]


def repeats(ids: Sequence[int], said: str, decode: Callable[[Sequence[int]], str]) -> list[int]:
    """Indices of tokens that something else could stand for, in their order; none: no repeats.

    These are the first of each such value, and the comma before it.

    Args:
        ids: of one call; its arguments are JSON.
        said: what values are quoted from. One that it has as often as the call, alone or inside
            of other values, is no repeat, nor is one that it does not have.
        decode: tokens -> text, with U+FFFD for a character that is not complete.
    """
    values = call_values(decode(ids))
    found: set[int] = set()
    for value in {value.said for value in values}:
        word = saying(value)
        having = [other for other in values if word.search(other.said)]
        if 0 < len(word.findall(said)) < len(having):
            found.update(other.place for other in having)
            found.update(other.comma for other in having if other.comma is not None)
    if not found:
        return []
    begins = [len(decode(ids[:i]).rstrip("\ufffd")) for i in range(len(ids))]
    holding = (begins[bisect_right(begins, place) - 1] for place in found)
    return sorted({bisect_left(begins, begin) for begin in holding})
