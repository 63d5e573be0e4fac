"""The control tokens by which models are told to fill in the middle of a text."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["InfillTokens", "find_infill"]

InfillTokens = tuple[int, int, int]
"""Ids of: here begins what stands before, what stands after, what is to be written."""

# As the families write them.
_NAMES = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
)


def find_infill(id_of: Callable[[str], int | None]) -> InfillTokens | None:
    """Those of a vocabulary, if it has them.

    Args:
        id_of: gives the id of a token's text.
    """
    for names in _NAMES:
        prefix, suffix, middle = map(id_of, names)
        if prefix is not None and suffix is not None and middle is not None:
            return prefix, suffix, middle
    return None
